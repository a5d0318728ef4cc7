// SPDX-License-Identifier: GPL-2.0-only
//! Tools that live from inotify(7), on a mount and a directory of the host at once: they say natively what they say served.

use std::path::Path;
use stowaway_tests::everyone;
use stowaway_tests::fixture::{Kind, Side};
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::Run;
use stowaway_tests::user;

/// Before each script: the directory under test, one of the host, and one for logs. A condition comes true in ten seconds.
const BEGIN: &str = "D=$1 H=$2 T=$(mktemp -d)\n: >$T/log >$T/err\n\
    until_so() { i=0; until eval \"$1\"; do i=$((i + 1)); [ $i -lt 500 ] || { echo \"never: $1\"; cat $T/*; exit 1; }; sleep 0.02; done; }\n";

/// The script's output, natively and served, is `expected`; `{D}` and `{H}` stand for the directories.
#[track_caller]
fn says(tool: &str, script: &str, expected: &str) {
    if !Path::new("/usr/bin").join(tool).exists() {
        return user::note(&format!("skipped: {tool} is not installed"));
    }
    let mounted = Mounted::new(Kind::Basic);
    for side in [Side::Native, Side::Image] {
        let [dir, host] =
            [mounted.fixture.dir(side), mounted.fixture.host(side)].map(|dir| dir.display().to_string());
        let script = format!("{BEGIN}{script}rm -r $T\n");
        let words = ["sh", "-c", &script, "sh", &dir, &host];
        let run = if side == Side::Native { Run::new(words) } else { mounted.run(words) };
        let outcome = run.output();
        let expected = expected.replace("{D}", &dir).replace("{H}", &host);
        assert_eq!((outcome.out(), outcome.err()), (expected, String::new()), "{side:?}");
    }
    mounted.check();
}

everyone! {
    fn inotifywait_of_both() {
        says(
            "inotifywait",
            "inotifywait -m -r --format '%w%f %e' -e create -e move -e delete -e close_write $D/emptydir $H >$T/log 2>$T/err &\n\
             until_so 'grep -q established $T/err'\n\
             for at in $D/emptydir $H; do mkdir $at/below; until_so \"grep -q '$at/below CREATE' $T/log\"; done\n\
             sleep 0.2\n\
             for at in $D/emptydir $H; do echo 1 >$at/below/one; mv $at/below/one $at/two; rm $at/two; done\n\
             until_so 'grep -q \"$H/two DELETE\" $T/log && grep -q \"$D/emptydir/two DELETE\" $T/log'\n\
             rmdir $D/emptydir/below $H/below\n\
             kill $!; wait $! 2>/dev/null\n\
             grep emptydir $T/log | head -n 6; grep -v emptydir $T/log | head -n 6\n",
            "{D}/emptydir/below CREATE,ISDIR\n{D}/emptydir/below/one CREATE\n{D}/emptydir/below/one CLOSE_WRITE,CLOSE\n\
             {D}/emptydir/below/one MOVED_FROM\n{D}/emptydir/two MOVED_TO\n{D}/emptydir/two DELETE\n\
             {H}/below CREATE,ISDIR\n{H}/below/one CREATE\n{H}/below/one CLOSE_WRITE,CLOSE\n\
             {H}/below/one MOVED_FROM\n{H}/two MOVED_TO\n{H}/two DELETE\n",
        );
    }

    fn inotifywait_of_one_event() {
        says(
            "inotifywait",
            "inotifywait -q -e modify $D/hello.txt >$T/log &\n\
             until_so 'test \"$(cat /proc/'$!'/fdinfo/* 2>/dev/null | grep -c inotify)\" -gt 0'\n\
             sleep 0.2; echo more >>$D/hello.txt; wait $!; echo $?; cat $T/log\n",
            "0\n{D}/hello.txt MODIFY \n",
        );
    }

    fn inotifywatch_of_both() {
        says(
            "inotifywatch",
            "inotifywatch -t 3 -e create -e delete $D/emptydir $H >$T/log 2>$T/err &\n\
             until_so 'grep -q collecting $T/err'\n\
             for i in 1 2 3; do : >$D/emptydir/$i; : >$H/$i; done; rm $D/emptydir/1\n\
             wait $!; tr -s ' ' <$T/log\n",
            "total create delete filename\n4 3 1 {D}/emptydir/\n3 3 0 {H}/\n",
        );
    }

    fn tail_follows() {
        // Without inotify it looks once in 100 seconds.
        says(
            "tail",
            "cp $D/hello.txt $H/theirs; tail -q -s 100 -n1 -f $D/hello.txt $H/theirs >$T/log 2>$T/err &\n\
             until_so 'test $(wc -l <$T/log) = 2'\n\
             sleep 0.2; echo mine >>$D/hello.txt; until_so 'grep -q mine $T/log'\n\
             echo theirs >>$H/theirs; until_so 'grep -q theirs $T/log'\n\
             : >$D/hello.txt; echo cut >>$D/hello.txt; until_so 'grep -q cut $T/log'\n\
             kill $!; wait $! 2>/dev/null; cat $T/log; grep -c truncated $T/err\n",
            "Hello, world!\nHello, world!\nmine\ntheirs\ncut\n1\n",
        );
    }

    fn tail_follows_a_name() {
        says(
            "tail",
            "echo first >$D/name; tail -s 100 -F $D/name >$T/log 2>$T/err &\n\
             until_so 'grep -q first $T/log'\n\
             sleep 0.2; mv $D/name $D/old; until_so 'grep -q inaccessible $T/err'\n\
             echo second >$D/name; until_so 'grep -q second $T/log'\n\
             kill $!; wait $! 2>/dev/null; cat $T/log\n",
            "first\nsecond\n",
        );
    }

    fn with_a_kernel_for_each_process_a_watch_is_one_processs() {
        let script = "import ctypes, os, sys\nlibc = ctypes.CDLL(None)\nfd = libc.inotify_init1(os.O_NONBLOCK)\n\
            assert libc.inotify_add_watch(fd, os.fsencode(sys.argv[1]), 0x100) == 1\n\
            open(sys.argv[1] + '/a', 'w').close()\n\
            read = 'import os\\ntry: print(len(os.read(%d, 100)), flush=True)\\nexcept OSError as e: print(e.errno, flush=True)' % fd\n\
            child = os.fork()\nexec(read)\n\
            if not child: os._exit(0)\n\
            os.waitpid(child, 0)\nopen(sys.argv[1] + '/b', 'w').close()\n\
            os.execv(sys.executable, [sys.executable, '-c', read])\n";
        let mounted = Mounted::new(Kind::Basic);
        let outcome = mounted.run(["python3", "-c", script, &mounted.dir()]).env("STOWAWAY_SHARE", "no").output();
        let mut said: Vec<String> = outcome.out().lines().map(String::from).collect();
        said.sort();
        // The parent has the event; the child and the new program have EIO, and a line each.
        assert_eq!(said, ["32", "5", "5"], "{}", outcome.err());
        let lines = our_lines(&outcome);
        assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("EIO")), "{lines:?}");
        mounted.check();
    }

    fn an_observer_in_python() {
        says("python3", include_str!("../programs/real/inotify.sh"), "created a\nmoved a b\ndeleted b\nend\n");
    }
}
