// SPDX-License-Identifier: GPL-2.0-only
//! `--net-host`: destinations that are left to the host's network. Servers of the test are at 127.0.0.1 of the host.

use stowaway_tests::everyone;
use stowaway_tests::network::{is_ok, Place, Server};

/// Does this with a server of the host's, which is the only thing of the host's network that is in reach.
#[track_caller]
fn with_server(words: &[&str]) {
    let place = Place::new();
    let server = Server::start(&place, &[], "127.0.0.1");
    let left = format!("127.0.0.0/8:{}", server.port);
    let all: Vec<&str> =
        [words[0], "127.0.0.1", &server.port].into_iter().chain(words[1..].iter().copied()).collect();
    is_ok(&place.peer(&[], &["--net", "lo", "--net-host", &left], &all));
}

/// What a program says, and what is said of it.
fn says(options: &[&str], script: &str, server: &Server, place: &Place) -> (String, String) {
    let outcome = place.run(&[], options, &["python3", "-c", script, &server.port]).output();
    (outcome.expect_exit(0).out(), outcome.err())
}

everyone! {
    fn bytes_go_out_whole() { with_server(&["upload", "30000000"]); }
    fn bytes_come_in_whole() { with_server(&["download", "30000000"]); }
    fn answers_come_in_turn() { with_server(&["echo"]); }
    fn datagrams() { with_server(&["udp"]); }
    fn a_child_uses_a_connection() { with_server(&["child"]); }
    fn a_connection_outlives_an_exec() { with_server(&["executed"]); }
    fn two_hundred_connections() { with_server(&["many"]); }

    fn other_destinations_are_the_kernels() {
        let place = Place::new();
        let server = Server::start(&place, &[], "127.0.0.1");
        let left = format!("127.0.0.1:{}", server.port);
        // The port is free inside; a server there is reached by another address of the loopback.
        let script = "import socket, sys
port = int(sys.argv[1])
inside = socket.create_server(('', port))
a = socket.create_connection(('127.0.0.2', port)); c, who = inside.accept(); print(who[0])
b = socket.create_connection(('127.0.0.1', port), 10); b.sendall(b'echo....one'); print(b.recv(3, socket.MSG_WAITALL).decode())
mapped = socket.socket(socket.AF_INET6); mapped.connect(('::ffff:127.0.0.1', port)); mapped.sendall(b'echo....two'); print(mapped.recv(3, socket.MSG_WAITALL).decode())";
        let said = says(&["--net", "lo", "--net-host", &left], script, &server, &place);
        assert_eq!(said, ("127.0.0.1\none\ntwo\n".into(), String::new()));
        let (_, said) = says(&["--net", "lo"], "import socket, sys
try: socket.create_connection(('127.0.0.1', int(sys.argv[1])))
except ConnectionRefusedError: pass", &server, &place);
        assert_eq!(said, "");
    }

    fn options_go_with_the_socket() {
        let place = Place::new();
        let server = Server::start(&place, &[], "127.0.0.1");
        let left = format!("127.0.0.1:{}", server.port);
        let script = "import asyncio, fcntl, os, socket, sys
port = int(sys.argv[1])
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
os.set_inheritable(s.fileno(), True)
number = s.fileno()
s.connect(('127.0.0.1', port))
print(s.fileno() == number, s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
      s.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), os.get_inheritable(number), s.getpeername())
async def main():
    r, w = await asyncio.open_connection('127.0.0.1', port)
    w.write(b'echo....one'); print((await r.readexactly(3)).decode())
asyncio.run(main())";
        let (out, err) = says(&["--net", "lo", "--net-host", &left], script, &server, &place);
        assert_eq!((out, err), (format!("True 1 1 77 True ('127.0.0.1', {})\none\n", server.port), String::new()));
    }

    fn a_socket_that_cannot_go_is_a_line() {
        let place = Place::new();
        let server = Server::start(&place, &[], "127.0.0.1");
        let left = format!("127.0.0.1:{}", server.port);
        let bound = "import errno, socket, sys
s = socket.socket(); s.bind(('127.0.0.1', 0))
print(errno.errorcode[s.connect_ex(('127.0.0.1', int(sys.argv[1])))])";
        let watched = "import errno, select, socket, sys
s = socket.socket(); e = select.epoll(); e.register(s)
print(errno.errorcode[s.connect_ex(('127.0.0.1', int(sys.argv[1])))])
s.close(); t = socket.socket(); print(t.connect_ex(('127.0.0.1', int(sys.argv[1]))))";
        for (script, wanted) in [(bound, "ENETUNREACH\n"), (watched, "ENETUNREACH\n0\n")] {
            let (out, err) = says(&["--net", "lo", "--net-host", &left], script, &server, &place);
            assert_eq!(out, wanted);
            assert!(err.contains("net-host: a socket that is bound") && err.lines().count() == 1, "{err}");
        }
    }

    fn wrong_ones_are_a_line() {
        let place = Place::new();
        for (options, word) in [(&["--net", "lo", "--net-host", "x"][..], "destinations"), (&["--net-host", "127.0.0.1"], "every socket is the host's")] {
            let outcome = place.run(&[], options, &["echo", "never"]).output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
            assert!(outcome.err().contains(word) && outcome.err().lines().count() == 1, "{}", outcome.err());
        }
    }
}
