// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway switch`, and the links that come back: `--net switch:PATH` and `--net pair:PATH`.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use stowaway_tests::everyone;
use stowaway_tests::network::{Place, COUNTING_CLIENT as CLIENT, COUNTING_SERVER as SERVER};
use stowaway_tests::process::{patiently, Ended};
use stowaway_tests::user::note;

/// Says that it is there, then sends a number of its own every 50 ms until the other side has answered `last`.
const TALK: &str = "import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 9)); s.settimeout(0.05)
print('up', flush=True)
seen = set()
while True:
    try: s.sendto(sys.argv[2].encode(), (sys.argv[1], 9))
    except OSError: pass
    try: word = s.recv(99).decode()
    except OSError: continue
    if word not in seen: print('heard', word, flush=True)
    seen.add(word)
";

/// A process, its child, and its child's child that executes itself again and again, each of which tells its name and what a file says.
const FAMILY: &str = "import os, socket, sys, time
who = sys.argv[3] if len(sys.argv) > 3 else 'parent'
if who == 'parent':
    print('up', flush=True)
    if os.fork() == 0:
        who = 'child'
        if os.fork() == 0: who = 'executed'
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(1000 if who != 'executed' else 4):
    try: s.sendto((who + open(sys.argv[2]).read()).encode(), (sys.argv[1], 9))
    except OSError: pass
    time.sleep(0.05)
if who == 'executed': os.execvp('python3', ['python3', '-c', open('family.py').read(), sys.argv[1], sys.argv[2], who])
";

/// Waits until something is so.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A switch that listens.
fn switch(place: &Place, socket: &str) -> Ended {
    let mut command = Command::new(place.file("stowaway"));
    command.args(["switch", "--stats", socket]).stdin(Stdio::null()).stderr(Stdio::piped());
    let child = Ended(patiently(|| command.spawn()).expect("a switch"));
    until("the switch does not listen", || UnixStream::connect(socket).is_ok());
    child
}

fn signal(child: &Child, signal: i32) {
    let done =
        Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().expect("kill");
    assert!(done.success());
}

/// Ends a switch in order; what it says.
fn end(mut switch: Ended) -> String {
    signal(&switch.0, 15);
    let mut said = String::new();
    switch.0.stderr.take().expect("stderr").read_to_string(&mut said).expect("text");
    assert!(switch.0.wait().expect("its end").success(), "{said}");
    said
}

/// A program that says `up` when it is ready.
fn ready(mut child: Child) -> Ended {
    let mut word = [0; 3];
    child.stdout.as_mut().expect("output").read_exact(&mut word).expect("a word");
    assert_eq!(&word, b"up\n");
    Ended(child)
}

/// Reads lines of a program until one of them is this one.
#[track_caller]
fn hears(child: &mut Ended, wanted: &str) {
    while hears_one(child) != wanted {}
}

/// The next line of a program.
#[track_caller]
fn hears_one(child: &mut Ended) -> String {
    let (mut line, mut byte) = (String::new(), [0]);
    let out = child.0.stdout.as_mut().expect("output");
    while !line.ends_with('\n') {
        assert!(out.read(&mut byte).expect("output") == 1, "it ended");
        line.push(byte[0] as char);
    }
    line.trim().into()
}

fn client(place: &Place, net: &str, server: &str) -> String {
    let outcome = place.run(&[], &["--net", net], &["python3", "-c", CLIENT, server]).output();
    let said = outcome.err();
    format!("{}{said}", outcome.out())
}

/// A frame in QEMU's framing.
fn frame(to: [u8; 6], from: [u8; 6], len: usize) -> Vec<u8> {
    let mut frame = (len as u32).to_be_bytes().to_vec();
    frame.extend([&to[..], &from].concat());
    frame.resize(4 + len, 7);
    frame
}

/// All that comes within a moment.
fn what_comes(member: &mut UnixStream) -> Vec<u8> {
    member.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = member.read(&mut part) {
        all.extend(&part[..n]);
    }
    all
}

everyone! {
    fn three_programs_on_a_switch() {
        let place = Place::new();
        let lan = place.file("lan");
        let on = switch(&place, &lan);
        let _server = ready(place.run(&[], &["--net", &format!("switch:{lan},ip=10.3.0.1/24")], &["python3", "-c", SERVER, "10.3.0.1"]).spawn());
        let seen: Vec<String> = std::thread::scope(|scope| {
            let (place, lan) = (&place, &lan);
            let all = [("2", "1500"), ("3", "1500"), ("4", "65520")];
            let all = all.map(|(last, mtu)| scope.spawn(move || client(place, &format!("switch:{lan},ip=10.3.0.{last}/24,mtu={mtu}"), "10.3.0.1")));
            all.map(|one| one.join().expect("a client")).into()
        });
        assert_eq!(seen, ["2", "3", "4"].map(|last| format!("3002100 from 10.3.0.{last}\n")));
        let said = end(on);
        assert!(said.starts_with("member ") && said.contains("dropped for members that have gone: "), "{said}");
        assert!(!Path::new(&lan).exists(), "the socket stays");
    }

    fn frames_go_where_their_addresses_say() {
        let place = Place::new();
        let lan = place.file("lan");
        let _on = switch(&place, &lan);
        let mut all: Vec<UnixStream> = (0..3).map(|_| UnixStream::connect(&lan).expect("a member")).collect();
        // A connection stands before the switch has taken it.
        std::thread::sleep(Duration::from_millis(300));
        let mac = |n: u8| [2, 0, 0, 0, 0, n];
        // Nobody knows 1 yet: to all but who sent.
        all[0].write_all(&frame(mac(1), mac(0), 60)).expect("a frame");
        assert_eq!([what_comes(&mut all[1]).len(), what_comes(&mut all[2]).len(), what_comes(&mut all[0]).len()], [64, 64, 0]);
        // 0 is known by now.
        all[1].write_all(&[frame(mac(0), mac(1), 60), frame(mac(0), mac(1), 1000), frame([0xff; 6], mac(1), 61)].concat()).expect("frames");
        assert_eq!(what_comes(&mut all[0]), [frame(mac(0), mac(1), 60), frame(mac(0), mac(1), 1000), frame([0xff; 6], mac(1), 61)].concat());
        assert_eq!(what_comes(&mut all[2]), frame([0xff; 6], mac(1), 61));
        // In pieces, with what is no frame between, and to oneself.
        let odd = [&frame(mac(1), mac(0), 100)[..], &[0, 0, 0, 0], &[0, 0, 0, 2, 9, 9], &frame(mac(0), mac(0), 60), &frame(mac(1), mac(0), 66_000)].concat();
        for piece in odd.chunks(777) {
            all[0].write_all(piece).expect("a piece");
        }
        assert_eq!(what_comes(&mut all[1]), [frame(mac(1), mac(0), 100), frame(mac(1), mac(0), 66_000)].concat());
        // An address moves with whoever uses it.
        all[2].write_all(&frame(mac(1), mac(0), 60)).expect("a frame");
        what_comes(&mut all[1]);
        all[1].write_all(&frame(mac(0), mac(1), 60)).expect("a frame");
        assert_eq!([what_comes(&mut all[2]).len(), what_comes(&mut all[0]).len()], [64, 0]);
        // Who sends what is no frame is put out; the others stay.
        all[2].write_all(b"GET / HTTP/1.1\r\n\r\n").expect("garbage");
        assert_eq!(all[2].read(&mut [0; 9]).ok(), Some(0), "it is still a member");
        all[1].write_all(&frame([0xff; 6], mac(1), 60)).expect("a frame");
        assert_eq!(what_comes(&mut all[0]).len(), 64);
    }

    fn a_virtual_machine_is_a_member() {
        const QEMU: &str = "/usr/bin/qemu-system-x86_64";
        if !Path::new(QEMU).exists() {
            return note("qemu-system-x86 is not installed");
        }
        let place = Place::new();
        let lan = place.file("lan");
        let _on = switch(&place, &lan);
        let mut hears = UnixStream::connect(&lan).expect("a member");
        hears.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        // Its firmware asks for an address.
        let net = format!("stream,id=n,server=off,addr.type=unix,addr.path={lan}");
        let words = ["-m", "64", "-display", "none", "-serial", "none", "-monitor", "none", "-boot", "n", "-netdev", &net, "-device", "e1000,netdev=n"];
        let _machine = Ended(Command::new(QEMU).args(words).stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("QEMU"));
        let mut head = [0; 4 + 12];
        hears.read_exact(&mut head).expect("a frame of the machine");
        assert_eq!(head[10..], [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    }

    fn who_does_not_read_is_in_nobodys_way() {
        let place = Place::new();
        let lan = place.file("lan");
        let on = switch(&place, &lan);
        let _silent = UnixStream::connect(&lan).expect("a member that does not read");
        let mut floods = UnixStream::connect(&lan).expect("a member that floods");
        let _server = ready(place.run(&[], &["--net", &format!("switch:{lan},ip=10.3.0.1/24")], &["python3", "-c", SERVER, "10.3.0.1"]).spawn());
        let flood = std::thread::spawn(move || {
            let frames: Vec<u8> = (0..64).flat_map(|n| frame([0xff; 6], [2, 9, 9, n, n, n], 1200)).collect();
            // As long as the switch is there.
            while floods.write_all(&frames).is_ok() {
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let seen = client(&place, &format!("switch:{lan},ip=10.3.0.2/24"), "10.3.0.1");
        assert_eq!(seen, "3002100 from 10.3.0.2\n");
        let said = end(on);
        flood.join().expect("the flood");
        let dropped: Vec<u64> = said.lines().filter_map(|line| line.split_whitespace().rev().nth(2)?.parse().ok()).collect();
        assert!(dropped.iter().any(|&n| n > 100), "{said}");
    }

    fn members_are_killed_and_the_switch_goes_on() {
        let place = Place::new();
        let lan = place.file("lan");
        let _on = switch(&place, &lan);
        for _ in 0..3 {
            let mut server = ready(place.run(&[], &["--net", &format!("switch:{lan},ip=10.3.0.1/24")], &["python3", "-c", SERVER, "10.3.0.1"]).spawn());
            assert_eq!(client(&place, &format!("switch:{lan},ip=10.3.0.2/24"), "10.3.0.1"), "3002100 from 10.3.0.2\n");
            server.0.kill().expect("SIGKILL");
            let _ = server.0.wait();
        }
    }

    fn a_switch_that_is_killed_and_comes_back() {
        let place = Place::new();
        let lan = place.file("lan");
        let mut on = switch(&place, &lan);
        let net = |last: u8| format!("switch:{lan},ip=10.3.0.{last}/24");
        let talk = |last: u8, other: &str, word: &str| place.run(&[], &["--net", &net(last)], &["python3", "-c", TALK, other, word]).spawn();
        let (mut one, mut two) = (ready(talk(1, "10.3.0.2", "one")), ready(talk(2, "10.3.0.1", "two")));
        hears(&mut one, "heard two");
        hears(&mut two, "heard one");
        for round in 0..2 {
            on.0.kill().expect("SIGKILL");
            let _ = on.0.wait();
            std::thread::sleep(Duration::from_millis(200));
            // Its dead socket is in the new one's way, and is replaced.
            assert!(Path::new(&lan).exists());
            on = switch(&place, &lan);
            // Both are members again: a third hears them, and is heard.
            let word = format!("third{round}");
            let mut third = ready(talk(3, "10.3.0.1", &word));
            hears(&mut one, &format!("heard {word}"));
            drop(third.0.stdout.take());
        }
        let _ = one.0.kill();
        let mut said = String::new();
        one.0.stderr.take().expect("stderr").read_to_string(&mut said).expect("text");
        let (down, up) = (said.matches("eth0 has ended; the link is down").count(), said.matches("eth0 is up again").count());
        assert!((down, up) == (2, 2) && said.lines().count() == 4, "{said}");
    }

    fn every_process_has_the_link_that_came_back() {
        let place = Place::new();
        let (lan, phase) = (place.file("lan"), place.file("phase"));
        std::fs::write(place.file("family.py"), FAMILY).expect("a program");
        std::fs::write(&phase, "0").expect("a file");
        let mut on = switch(&place, &lan);
        let mut hearer = ready(place.run(&[], &["--net", &format!("switch:{lan},ip=10.3.0.1/24")], &["python3", "-c", TALK, "10.3.0.2", "x"]).spawn());
        let _family = ready(place.run(&[], &["--net", &format!("switch:{lan},ip=10.3.0.2/24")], &["python3", "-c", FAMILY, "10.3.0.1", &phase]).spawn());
        for round in 0..4 {
            std::fs::write(&phase, round.to_string()).expect("a file");
            // In whatever order.
            let mut wanted: Vec<String> = ["parent", "child", "executed"].map(|who| format!("heard {who}{round}")).into();
            while !wanted.is_empty() {
                let line = hears_one(&mut hearer);
                wanted.retain(|other| *other != line);
            }
            on.0.kill().expect("SIGKILL");
            let _ = on.0.wait();
            on = switch(&place, &lan);
        }
    }

    fn without_a_switch_there_is_a_line() {
        let place = Place::new();
        let lan = place.file("lan");
        let refused = |word: &str| {
            let outcome = place.run(&[], &["--net", &format!("switch:{lan}")], &["echo", "never"]).output();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
            assert!(outcome.err().contains(word) && outcome.err().lines().count() == 1, "{}", outcome.err());
        };
        refused("there is no switch at");
        drop(UnixListener::bind(&lan).expect("a socket"));
        refused("any more (ECONNREFUSED); start one: stowaway switch");
    }

    fn a_path_that_is_in_use_is_a_line() {
        let place = Place::new();
        let lan = place.file("lan");
        let _on = switch(&place, &lan);
        for path in [&lan, &place.file("peer.py"), "/nonexistent/lan"] {
            let done = Command::new(place.file("stowaway")).args(["switch", path]).output().expect("a switch");
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.code() == Some(1) && said.contains(path) && said.lines().count() == 1, "{said}");
        }
        assert!(UnixStream::connect(&lan).is_ok());
    }

    fn a_pair_whoever_comes_first() {
        let place = Place::new();
        let link = place.file("link");
        let net = |last: u8| format!("pair:{link},ip=10.4.0.{last}/24");
        let talk = |last: u8, other: &str, word: &str| place.run(&[], &["--net", &net(last)], &["python3", "-c", TALK, other, word]).spawn();
        let mut one = ready(talk(1, "10.4.0.2", "one"));
        for round in 0..3 {
            // Killed, and back; the one that stays listens or connects.
            let mut two = ready(talk(2, "10.4.0.1", &format!("two{round}")));
            hears(&mut one, &format!("heard two{round}"));
            hears(&mut two, "heard one");
            until("the path stays", || !Path::new(&link).exists());
        }
        drop(one);
    }

    fn a_pair_that_starts_at_a_time() {
        let place = Place::new();
        let link = place.file("link");
        let net = |last: u8| format!("pair:{link},ip=10.4.0.{last}/24");
        for _ in 0..4 {
            let talk = |last: u8, other: &str, word: &str| place.run(&[], &["--net", &net(last)], &["python3", "-c", TALK, other, word]).spawn();
            let (one, two) = (talk(1, "10.4.0.2", "one"), talk(2, "10.4.0.1", "two"));
            let (mut one, mut two) = (ready(one), ready(two));
            hears(&mut one, "heard two");
            hears(&mut two, "heard one");
        }
    }

    fn a_pair_outlives_programs_that_are_executed() {
        let place = Place::new();
        let link = place.file("link");
        let net = |last: u8| format!("pair:{link},ip=10.4.0.{last}/24");
        // One that executes, forks and waits for its peer meanwhile; its peer comes late.
        let script = "sleep 0.3; (sleep 0.2; true) & sh -c 'exec sleep 0.3'; exec python3 -c \"$0\" 10.4.0.1";
        let asks = place.run(&[], &["--net", &net(2)], &["sh", "-c", script, CLIENT]).spawn();
        std::thread::sleep(Duration::from_millis(600));
        let _server = ready(place.run(&[], &["--net", &net(1)], &["python3", "-c", SERVER, "10.4.0.1"]).spawn());
        let done = asks.wait_with_output().expect("the client");
        assert_eq!(String::from_utf8_lossy(&done.stdout), "3002100 from 10.4.0.2\n", "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn a_pair_that_nobody_came_to_leaves_nothing() {
        let place = Place::new();
        let link = place.file("link");
        let outcome = place.run(&[], &["--net", &format!("pair:{link}")], &["true"]).output();
        assert_eq!((outcome.expect_exit(0).out(), outcome.err()), (String::new(), String::new()));
        assert!(!Path::new(&link).exists(), "the socket stays");
        // A dead socket is no obstacle, a file is one.
        drop(UnixListener::bind(&link).expect("a socket"));
        place.run(&[], &["--net", &format!("pair:{link}")], &["true"]).output().expect_exit(0);
        std::fs::write(&link, "text").expect("a file");
        let outcome = place.run(&[], &["--net", &format!("pair:{link}")], &["echo", "never"]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{}", outcome.err());
        assert!(outcome.err().contains("no socket") && outcome.err().lines().count() == 1, "{}", outcome.err());
        assert_eq!(std::fs::read(&link).expect("the file"), b"text");
    }
}
