// SPDX-License-Identifier: GPL-2.0-only
//! `--net stream:PATH` and `--net fd:N`: two programs with a kernel each, and peers that send what is no frame.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use stowaway_tests::everyone;
use stowaway_tests::network::Place;

/// A server that answers one client.
const SERVER: &str = "import socket, sys
s = socket.create_server((sys.argv[1], 7), family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
c, _ = s.accept()
n = 0
while part := c.recv(1 << 17): n += len(part)
c.sendall(b'%d' % n)
c.close()
";

/// Its client, which waits until the server is there.
const CLIENT: &str = "import socket, sys, time
for i in range(200):
    try: s = socket.create_connection((sys.argv[1], 7), 5); break
    except OSError: time.sleep(0.05)
for i in range(1000): s.sendall(bytes(10007))
s.shutdown(socket.SHUT_WR)
print(s.recv(99).decode())
";

/// Starts two programs on a pair of sockets, as `fd:N` each: type of the sockets, options and programs in pairs.
const PAIR: &str = "import os, socket, subprocess, sys
kind, stowaway, one, two, server, client = sys.argv[1:]
a, b = socket.socketpair(socket.AF_UNIX, getattr(socket, kind))
def start(s, other, ip, script, to):
    net = 'fd:%d,ip=%s/24' % (s.fileno(), ip)
    return subprocess.Popen([stowaway, 'run', '--net', net, '--', 'python3', '-c', script, to], pass_fds=[s.fileno()])
first = start(a, b, one, server, one)
second = start(b, a, two, client, one)
a.close(); b.close()
code = second.wait()
print(first.wait(), code)
";

everyone! {
    fn two_programs_on_a_socket_pair() {
        let place = Place::new();
        for kind in ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET"] {
            let words = ["python3", "-c", PAIR, kind, &place.file("stowaway"), "10.8.0.1", "10.8.0.2", SERVER, CLIENT];
            let mut run = stowaway_tests::process::Run::new(words);
            run.cwd = Some(place.path());
            let outcome = run.output();
            assert_eq!(outcome.expect_exit(0).out(), "10007000\n0 0\n", "{kind}: {}", outcome.err());
        }
    }

    fn two_programs_on_a_path() {
        let place = Place::new();
        let socket = place.file("net.socket");
        let first = format!("stream:{socket},listen,ip=10.8.0.1/24,ip=fd08::1/64");
        let second = format!("stream:{socket},ip=10.8.0.2/24,ip=fd08::2/64");
        for server in ["10.8.0.1", "fd08::1"] {
            let child = place.run(&[], &["--net", &first], &["python3", "-c", SERVER, server]).spawn();
            while !std::path::Path::new(&socket).exists() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            let outcome = place.run(&[], &["--net", &second], &["python3", "-c", CLIENT, server]).output();
            // The server's side may end first: at most a line says so.
            let said = outcome.err();
            assert!(said.is_empty() || (said.contains("has ended") && said.lines().count() == 1), "{said}");
            assert_eq!(outcome.expect_exit(0).out(), "10007000\n");
            let done = child.wait_with_output().expect("the server");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            assert!(!std::path::Path::new(&socket).exists(), "the socket's name stays");
        }
    }

    fn what_is_no_frame_is_survived() {
        let place = Place::new();
        let path = place.file("net.socket");
        let garbage: [(&[u8], bool); 5] = [
            (&[0xff; 64], true),
            (&[0, 1, 0, 0, 1, 2, 3], false),
            (&[0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 60], false),
            (b"GET / HTTP/1.1\r\n\r\n", true),
            (&[], false),
        ];
        for (bytes, is_broken) in garbage {
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(&path).expect("a socket");
            let net = format!("stream:{path},ip=10.8.0.2/24,gw=10.8.0.1");
            // The program asks somebody who is not there, and its own loopback.
            let script = "import socket, time
a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname()); c, _ = a.accept()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(30):
    try: u.sendto(b'x', ('10.8.0.9', 9))
    except OSError: pass
    b.sendall(b'y'); assert c.recv(1) == b'y'
    time.sleep(0.02)
print('ok')";
            let child = place.run(&[], &["--net", &net], &["python3", "-c", script]).spawn();
            let (mut peer, _) = listener.accept().expect("the program");
            peer.write_all(bytes).expect("garbage");
            std::thread::sleep(std::time::Duration::from_millis(300));
            peer.set_nonblocking(true).expect("a socket");
            let _ = peer.read(&mut [0; 4096]);
            drop(peer);
            let done = child.wait_with_output().expect("the program");
            let said = String::from_utf8_lossy(&done.stderr);
            assert_eq!(String::from_utf8_lossy(&done.stdout), "ok\n", "{bytes:?}: {said}");
            let wanted = if is_broken { "sends no frames" } else { "has ended" };
            assert!(said.contains(wanted) && said.lines().count() == 1, "{bytes:?}: {said}");
        }
    }

    fn wrong_descriptors_are_a_line() {
        let place = Place::new();
        for (redirect, net, word) in [("", "fd:7", "without a descriptor 7"), ("7</etc/passwd", "fd:7", "neither a tap"), ("", "stream:/nonexistent", "ENOENT")] {
            let script = format!("exec {redirect}; exec {} run --net {net} -- echo never", place.file("stowaway"));
            let script = if redirect.is_empty() { script.replacen("exec ; ", "", 1) } else { script };
            let outcome = stowaway_tests::process::Run::new(["sh", "-c", &script]).output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{net}: {}", outcome.err());
            assert!(outcome.err().contains(word) && outcome.err().lines().count() == 1, "{}", outcome.err());
        }
    }
}
