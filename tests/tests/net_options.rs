// SPDX-License-Identifier: GPL-2.0-only
//! `--mptcp`, `--nft` and BBR: seen by the program that has them.

use stowaway_tests::everyone;
use stowaway_tests::network::{has, Place};
use stowaway_tests::process::{Outcome, Run};

/// A connection within one kernel, at the addresses given: of the server, and of the client's further path if there is one. Says how many
/// further subflows there are, and whether it is MPTCP at both ends.
const MPTCP: &str = "import hashlib, os, socket, struct, sys, threading, time
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], 0), family=family)
client = socket.socket(family)
client.connect(server.getsockname())
there, _ = server.accept()
def info(s):
    head = s.getsockopt(284, 1, 96)
    return head[0], struct.unpack_from('I', head, 8)[0]
data = os.urandom(1 << 20)
def send():
    for i in range(4): client.sendall(data); time.sleep(0.05)
threading.Thread(target=send).start()
got = b''.join(there.recv(1 << 20, socket.MSG_WAITALL) for _ in range(4))
assert got == data * 4
wanted = len(sys.argv) > 2
for i in range(100):
    if not wanted or info(client)[0]: break
    time.sleep(0.05)
print(info(client)[0], [s.getsockopt(1, 38) for s in (client, there)], ['fallback' if info(s)[1] & 1 else 'mptcp' for s in (client, there)])
";

/// A server of one connection and its client, in two kernels. The client says what the connection is.
const SERVE: &str = "import socket
s = socket.create_server(('10.8.0.1', 7))
c, _ = s.accept()
c.sendall(c.recv(5, socket.MSG_WAITALL))
c.recv(1)
";
const CONNECT: &str = "import socket, struct, time
for i in range(200):
    try: s = socket.create_connection(('10.8.0.1', 7), 5); break
    except OSError: time.sleep(0.05)
s.sendall(b'hello')
said = s.recv(5, socket.MSG_WAITALL).decode()
try: flags = struct.unpack_from('I', s.getsockopt(284, 1, 96), 8)[0]
except OSError: flags = 1
print(said, 'fallback' if flags & 1 else 'mptcp')
";

/// Ports that rules drop, refuse and lead elsewhere; all of them have a server.
const PORTS: &str = "import socket, threading
def serve(port):
    s = socket.create_server(('127.0.0.1', port))
    def go():
        while True:
            c, _ = s.accept(); c.sendall(b'port %d' % port); c.close()
    threading.Thread(target=go, daemon=True).start()
for port in (80, 81, 82): serve(port)
for port in (80, 81, 82, 8080):
    try: print(port, socket.create_connection(('127.0.0.1', port), 1).recv(99).decode())
    except OSError as e: print(port, type(e).__name__)
";

const RULES: &str = "table inet filter {
    chain in {
        type filter hook input priority 0; policy accept;
        tcp dport 81 counter drop
        tcp dport 82 reject with tcp reset
    }
}
table ip nat {
    chain out {
        type nat hook output priority -100;
        ip daddr 127.0.0.1 tcp dport 8080 redirect to :80
    }
}
";

/// Which congestion control both ends of a connection have, over which five megabytes go.
const CONGESTION: &str = "import hashlib, os, socket, threading
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
there, _ = server.accept()
data = os.urandom(5 << 20)
threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR))).start()
digest = hashlib.sha256()
while part := there.recv(1 << 16): digest.update(part)
assert digest.digest() == hashlib.sha256(data).digest()
print([s.getsockopt(6, 13, 16).rstrip(b'\\0').decode() for s in (client, there)])
";

fn said(outcome: &Outcome) -> String {
    assert_eq!(outcome.err(), "");
    outcome.expect_exit(0).out()
}

everyone! {
    fn sockets_of_tcp_are_ones_of_mptcp() {
        let place = Place::new();
        for address in ["127.0.0.1", "::1"] {
            let outcome = place.run(&[], &["--net", "lo", "--mptcp"], &["python3", "-c", MPTCP, address]).output();
            assert_eq!(said(&outcome), "0 [262, 262] ['mptcp', 'mptcp']\n");
        }
        // A program that is told of the option by a variable, and one that has its own idea.
        let outcome = Run::new(["python3", "-c", "import socket; print(socket.socket().getsockopt(1, 38), socket.socket(type=socket.SOCK_DGRAM).getsockopt(1, 38))"])
            .env("LD_PRELOAD", place.file("libstowaway.so")).env("STOWAWAY_NET", "lo").env("STOWAWAY_MPTCP", "yes").output();
        assert_eq!(said(&outcome), "262 17\n");
        let outcome = place.run(&[], &["--net", "lo"], &["python3", "-c", "import socket; print(socket.socket().getsockopt(1, 38))"]).output();
        assert_eq!(said(&outcome), "6\n");
    }

    fn a_connection_of_mptcp_takes_a_second_path() {
        let place = Place::new();
        let script = "ip mptcp limits set subflow 2 add_addr_accepted 2 && ip mptcp endpoint add 127.0.0.2 dev lo subflow &&
            exec python3 -c \"$0\" 127.0.0.1 two";
        let outcome = place.run(&[], &["--net", "lo", "--mptcp"], &["sh", "-c", script, MPTCP]).output();
        assert_eq!(said(&outcome), "1 [262, 262] ['mptcp', 'mptcp']\n");
    }

    fn a_peer_without_mptcp_gets_tcp() {
        for (server, wanted) in [(&["--mptcp"][..], "hello mptcp\n"), (&[], "hello fallback\n")] {
            let place = Place::new();
            let socket = place.file("net.socket");
            let net = format!("stream:{socket},listen,ip=10.8.0.1/24");
            let child = place.run(&[], &[&["--net", &net], server].concat(), &["python3", "-c", SERVE]).spawn();
            while !std::path::Path::new(&socket).exists() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            let net = format!("stream:{socket},ip=10.8.0.2/24");
            let outcome = place.run(&[], &["--net", &net, "--mptcp"], &["python3", "-c", CONNECT]).output();
            assert_eq!(outcome.expect_exit(0).out(), wanted, "{}", outcome.err());
            assert!(child.wait_with_output().expect("the server").status.success());
        }
    }

    fn rules_of_nftables_filter_and_translate() {
        if !has("nft") {
            return;
        }
        let place = Place::new();
        let rules = place.file("rules.nft");
        std::fs::write(&rules, RULES).expect("a file");
        let outcome = place.run(&[], &["--net", "lo", "--nft", &rules], &["python3", "-c", PORTS]).output();
        assert_eq!(said(&outcome), "80 port 80\n81 TimeoutError\n82 ConnectionRefusedError\n8080 port 80\n");
        let outcome = place.run(&[], &["--net", "lo"], &["python3", "-c", PORTS]).output();
        assert_eq!(said(&outcome), "80 port 80\n81 port 81\n82 port 82\n8080 ConnectionRefusedError\n");
        // nft sees them afterwards, with what was counted.
        let script = "python3 -c \"$0\" >/dev/null; PATH=$PATH:/usr/sbin nft list ruleset | grep -o 'dport 81 counter packets [1-9]'";
        let outcome = place.run(&[], &["--net", "lo", "--nft", &rules], &["sh", "-c", script, PORTS]).output();
        assert!(said(&outcome).starts_with("dport 81 counter packets "), "{}", outcome.out());
    }

    fn rules_that_are_wrong_end_the_run() {
        if !has("nft") {
            return;
        }
        let place = Place::new();
        let rules = place.file("rules.nft");
        std::fs::write(&rules, "table inet t { chain c { colour red } }\n").expect("a file");
        let outcome = place.run(&[], &["--net", "lo", "--nft", &rules], &["echo", "never"]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
        assert!(outcome.err().contains("rules.nft:1") && outcome.err().contains("nft refuses the rules"), "{}", outcome.err());
        for (options, words) in [(&["--net", "lo", "--nft", "/nonexistent.nft"][..], "/nonexistent.nft: No such file"), (&["--nft", &rules], "no network of its own")] {
            let outcome = place.run(&[], options, &["echo", "never"]).output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
            assert!(outcome.err().contains(words) && outcome.err().lines().count() == 1, "{}", outcome.err());
        }
        std::fs::write(&rules, RULES).expect("a file");
        for (program, status) in [(&["/nonexistent"][..], "exit 127"), (&["/etc/passwd"], "exit 126"), (&["sh", "-c", "exit 7"], "exit 7")] {
            let outcome = place.run(&[], &["--net", "lo", "--nft", &rules], program).output();
            assert_eq!(outcome.status, status, "{}", outcome.err());
        }
        let outcome = Run::new(["echo", "it runs"]).env("LD_PRELOAD", place.file("libstowaway.so")).env("STOWAWAY_NET", "lo").env("STOWAWAY_NFT", &rules).output();
        assert_eq!(outcome.expect_exit(0).out(), "it runs\n");
        assert!(outcome.err().contains("only stowaway run reads rules"), "{}", outcome.err());
    }

    fn bbr_on_a_host_that_need_not_have_it() {
        let place = Place::new();
        let bbr = "net.ipv4.tcp_congestion_control=bbr";
        let outcome = place.run(&[], &["--net", "lo", "--sysctl", bbr], &["python3", "-c", CONGESTION]).output();
        assert_eq!(said(&outcome), "['bbr', 'bbr']\n");
        let outcome = place.run(&[], &["--net", "lo", "--sysctl", bbr, "--netem", "delay 5ms loss 1%", "--qdisc", "fq"], &["python3", "-c", CONGESTION]).output();
        assert_eq!(said(&outcome), "['bbr', 'bbr']\n");
        let outcome = place.run(&[], &["--net", "lo"], &["python3", "-c", CONGESTION]).output();
        assert_eq!(said(&outcome), "['cubic', 'cubic']\n");
    }
}
