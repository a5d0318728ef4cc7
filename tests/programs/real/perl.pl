# SPDX-License-Identifier: GPL-2.0-only
# fork, pipes, signals, and files.
use strict; use warnings; use POSIX ":sys_wait_h"; use IO::Socket::INET; use Time::HiRes "ualarm";
$| = 1;
my ($r, $w) = @ENV{qw(R W)};
open(my $file, '<', "$r/hello.txt") or die; print scalar(<$file>); close $file;
open(my $from, '-|', "sort '$r/hello.txt' | tail -n 2") or die; print while <$from>; close $from;
open(my $to, '|-', "tr a-z A-Z > '$w/upper'") or die; print $to "some text\n"; close $to;
print `cat '$w/upper'`;
for my $i (1 .. 5) {
    my $pid = fork; die unless defined $pid;
    if (!$pid) { open(my $f, '<', "$r/hello.txt") or exit 99; exit $i; }
    waitpid($pid, 0); print "child $i: ", $? >> 8, "\n";
}
pipe(my $in, my $out) or die;
if (my $pid = fork) { close $out; print "from the child: ", <$in>; waitpid $pid, 0; }
else { close $in; print $out "words\n"; close $out; exit 0; }
my $caught = 0; $SIG{USR1} = sub { $caught++ }; kill 'USR1', $$ for 1 .. 10; print "caught $caught\n";
eval { local $SIG{ALRM} = sub { die "alarm\n" }; ualarm 50_000; sleep 5 while 1; }; print "alarm: $@";
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die;
if (!fork) { my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->sockport) or die; print $c "over a socket\n"; exit 0; }
my $client = $server->accept; print scalar <$client>; wait;
opendir(my $d, $r) or die; my @names = grep { /^hello/ } readdir $d; print "@names\n";
exit 4;
