// SPDX-License-Identifier: GPL-2.0-only
//! `--net user`: the kernel's network by passt, which any user may start. passt leads its gateway's address to the host's loopback,
//! so servers of the test are at 127.0.0.1 and ::1 there.

use std::process::Command;
use stowaway_tests::everyone;
use stowaway_tests::network::{free_port, has, is_ok, Place, Server};
use stowaway_tests::user::note;

const NET: [&str; 2] = ["--net", "user"];
const GATEWAY: &str = "10.0.2.2";
const GATEWAY_OF_SIX: &str = "fd10:0:2::2";
const MANY: &str = "104857600";

/// Does this with a server at 127.0.0.1.
#[track_caller]
fn with_server(words: &[&str]) {
    if !has("passt") {
        return;
    }
    let place = Place::new();
    let server = Server::start(&place, &[], "127.0.0.1");
    let all: Vec<&str> =
        [words[0], GATEWAY, &server.port].into_iter().chain(words[1..].iter().copied()).collect();
    is_ok(&place.peer(&[], &NET, &all));
}

/// Whether the host reaches others by IPv6: passt has no IPv6 elsewhere.
fn has_six() -> bool {
    let routes = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let found = routes.lines().any(|line| {
        let row: Vec<_> = line.split_whitespace().collect();
        row[0].bytes().all(|b| b == b'0') && row[1] == "00" && row.last() != Some(&"lo")
    });
    if !found {
        note("the host has no route by IPv6");
    }
    found
}

everyone! {
    fn a_hundred_megabytes_go_out_whole() { with_server(&["upload", MANY]); }
    fn a_hundred_megabytes_come_in_whole() { with_server(&["download", MANY]); }
    fn answers_come_in_turn() { with_server(&["echo"]); }
    fn datagrams() { with_server(&["udp"]); }
    fn a_port_without_a_server_refuses() { with_server(&["refused"]); }
    fn a_connection_is_reset() { with_server(&["reset"]); }
    fn a_child_uses_a_connection() { with_server(&["child"]); }
    fn a_connection_outlives_an_exec() { with_server(&["executed"]); }
    fn two_hundred_connections() { with_server(&["many"]); }

    fn ipv6() {
        if !has("passt") || !has_six() {
            return;
        }
        let place = Place::new();
        let server = Server::start(&place, &[], "::1");
        for what in [&["upload", GATEWAY_OF_SIX, &server.port, "10000000"][..], &["echo", GATEWAY_OF_SIX, &server.port]] {
            is_ok(&place.peer(&[], &NET, what));
        }
    }

    fn a_program_that_joins_uses_the_network_and_goes_on_with_it() {
        use std::os::unix::fs::PermissionsExt;
        if !has("passt") {
            return;
        }
        let place = Place::new();
        let server = Server::start(&place, &[], "127.0.0.1");
        let run = place.file("run");
        std::fs::create_dir(&run).expect("a folder");
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).expect("a folder of our own");
        let joins = |options: &[&str], program: &[&str]| place.run(&[], &[&["--instance", "net"], options].concat(), program).env("XDG_RUNTIME_DIR", &run);
        let mut first = joins(&NET, &["sh", "-c", "echo up; exec sleep 3"]).spawn();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(first.stdout.take().expect("output")), &mut line).expect("a line");
        let script = format!("cat /etc/resolv.conf; python3 peer.py echo {GATEWAY} {0} && sleep 4 && python3 peer.py echo {GATEWAY} {0}", server.port);
        let outcome = joins(&[], &["sh", "-c", &script]).output();
        assert!(first.wait().expect("the first").success());
        assert_eq!((outcome.expect_exit(0).out().as_str(), outcome.err().as_str()), ("nameserver 10.0.2.3\nok\nok\n", ""));
    }

    fn a_port_of_the_host_leads_into_the_program() {
        if !has("passt") {
            return;
        }
        let place = Place::new();
        let free = free_port();
        let publish = format!("127.0.0.1:{free}:7000");
        let script = "import socket\ns = socket.create_server(('0.0.0.0', 7000))\nc, _ = s.accept()\nc.sendall(c.recv(100).upper())\nc.close()\n";
        let run = place.run(&[], &["--net", "user", "-p", &publish], &["python3", "-c", script]);
        let mut child = run.spawn();
        let answer = (0..400).find_map(|_| {
            use std::io::{Read, Write};
            std::thread::sleep(std::time::Duration::from_millis(25));
            let mut s = std::net::TcpStream::connect(("127.0.0.1", free)).ok()?;
            s.write_all(b"hello").ok()?;
            let mut text = String::new();
            s.read_to_string(&mut text).ok()?;
            (!text.is_empty()).then_some(text)
        });
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(answer.as_deref(), Some("HELLO"));
    }

    fn programs_are_told_of_the_resolver() {
        if !has("passt") {
            return;
        }
        let place = Place::new();
        let before = std::fs::read("/etc/resolv.conf").unwrap_or_default();
        let read = place.run(&[], &NET, &["cat", "/etc/resolv.conf"]).output();
        assert_eq!((read.expect_exit(0).out().as_str(), read.err().as_str()), ("nameserver 10.0.2.3\n", ""));
        let read = place.run(&[], &["--net", "user", "--dns", "192.0.2.53,fd00::53"], &["cat", "/etc/resolv.conf"]).output();
        assert_eq!(read.expect_exit(0).out(), "nameserver 192.0.2.53\nnameserver fd00::53\n");
        // A program that is executed by the first, and one that only looks.
        let read = place.run(&[], &NET, &["sh", "-c", "stat -L -c %s /etc/resolv.conf; exec cat /etc/resolv.conf"]).output();
        assert_eq!(read.expect_exit(0).out(), "20\nnameserver 10.0.2.3\n");
        assert_eq!(std::fs::read("/etc/resolv.conf").unwrap_or_default(), before);
    }

    fn programs_of_others() {
        if !has("passt") {
            return;
        }
        let place = Place::new();
        let server = Command::new("python3").args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(place.path()).arg("0")
            .env("PYTHONUNBUFFERED", "1").stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn();
        let mut server = server.expect("a server");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().expect("its output")), &mut line).expect("a line");
        let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).expect("a port").to_string();
        let url = format!("http://{GATEWAY}:{port}/peer.py");
        let wanted = std::fs::read_to_string(place.file("peer.py")).expect("the file");
        let urllib = format!("import urllib.request as r, sys; sys.stdout.write(r.urlopen('{url}').read().decode())");
        for words in [&["curl", "-s", &url][..], &["wget", "-q", "-O", "-", &url], &["python3", "-c", &urllib]] {
            if has(words[0]) {
                let outcome = place.run(&[], &NET, words).output();
                assert_eq!((outcome.expect_exit(0).out(), outcome.err()), (wanted.clone(), String::new()), "{words:?}");
            }
        }
        let _ = server.kill();
        let _ = server.wait();
    }

    fn passt_ends_with_the_program() {
        if !has("passt") {
            return;
        }
        let place = Place::new();
        let free = free_port();
        let publish = format!("127.0.0.1:{free}:7000");
        let outcome = place.run(&[], &["--net", "user", "-p", &publish], &["true"]).output();
        assert_eq!((outcome.status.as_str(), outcome.err()), ("exit 0", String::new()));
        // passt has the port, as long as it lives.
        let is_free = || std::net::TcpListener::bind(("127.0.0.1", free)).is_ok();
        assert!((0..200).any(|_| { std::thread::sleep(std::time::Duration::from_millis(25)); is_free() }), "passt stays");
    }

    fn when_passt_is_killed_the_link_goes_down_and_the_program_goes_on() {
        if !has("passt") {
            return;
        }
        let place = Place::new();
        let server = Server::start(&place, &[], "127.0.0.1");
        let free = free_port();
        let publish = format!("127.0.0.1:{free}:7000");
        let script = format!("
import os, signal, socket, time
s = socket.create_connection(('{GATEWAY}', {}))
s.sendall(b'echo....one')
assert s.recv(3, socket.MSG_WAITALL) == b'one'
def killed(pid):
    try: words = open('/proc/%s/cmdline' % pid).read()
    except OSError: return False
    if 'passt' in words and '{publish}'.replace('127.0.0.1:', '127.0.0.1/', 1) in words:
        os.kill(int(pid), signal.SIGKILL)
        return True
assert any([killed(pid) for pid in os.listdir('/proc') if pid.isdigit()])
time.sleep(0.3)
s.settimeout(0.5)
try: s.sendall(b'two'); s.recv(3); print('an answer')
except OSError: print('none')
a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname()); c, _ = a.accept()
b.sendall(b'y'); print(c.recv(1).decode())
", server.port);
        let outcome = place.run(&[], &["--net", "user", "-p", &publish], &["python3", "-c", &script]).output();
        assert_eq!(outcome.expect_exit(0).out(), "none\ny\n", "{}", outcome.err());
        assert!(outcome.err().contains("eth0 has ended") && outcome.err().lines().count() == 1, "{}", outcome.err());
    }

    fn a_port_that_is_taken_is_a_line() {
        if !has("passt") {
            return;
        }
        let place = Place::new();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let publish = format!("127.0.0.1:{}:7000", taken.local_addr().expect("it").port());
        let outcome = place.run(&[], &["--net", "user", "-p", &publish], &["echo", "never"]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
        assert!(outcome.err().contains("passt") && outcome.err().lines().count() == 1, "{}", outcome.err());
    }

    fn without_passt_there_is_a_line() {
        let place = Place::new();
        let outcome = place.run(&[], &NET, &["/bin/echo", "never"]).env("PATH", "/nonexistent").output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
        assert!(outcome.err().contains("passt is not installed") && outcome.err().lines().count() == 1, "{}", outcome.err());
    }
}
