// SPDX-License-Identifier: GPL-2.0-only
//! `--netem`, `--qdisc`, `--rate`: what they set up is what tc(8) sets up, and connections live with it.

use stowaway_tests::everyone;
use stowaway_tests::network::{has, Place};
use stowaway_tests::process::Run;

/// A server and clients in one process: transfers of random sizes in both directions, whose digests are compared. Numbers: of transfers, of
/// transfers at a time, of bytes at most.
const TRANSFERS: &str = "import hashlib, os, random, socket, sys, threading
count, at_once, most = map(int, sys.argv[1:])
block = os.urandom(1 << 16)
server = socket.create_server(('127.0.0.1', 0), backlog=200)
def answer(c):
    digest, n = hashlib.sha256(), 0
    want = int.from_bytes(c.recv(8, socket.MSG_WAITALL), 'big')
    while part := c.recv(1 << 16): digest.update(part)
    c.sendall(digest.digest())
    back = hashlib.sha256()
    while n < want:
        part = block[:min(len(block), want - n)]
        c.sendall(part); back.update(part); n += len(part)
    c.sendall(back.digest())
    c.close()
def serve():
    while True: threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=serve, daemon=True).start()
left, good, lock = [count], [0], threading.Lock()
def go():
    r = random.Random()
    while True:
        with lock:
            if not left[0]: return
            left[0] -= 1
        size, want = r.randrange(most), r.randrange(most)
        # Without a timeout, or MSG_WAITALL does not wait.
        s = socket.create_connection(server.getsockname())
        data = os.urandom(size)
        s.sendall(want.to_bytes(8, 'big') + data)
        s.shutdown(socket.SHUT_WR)
        assert s.recv(32, socket.MSG_WAITALL) == hashlib.sha256(data).digest(), 'there'
        back, n = hashlib.sha256(), 0
        while n < want:
            part = s.recv(min(1 << 16, want - n))
            assert part, 'cut off'
            back.update(part); n += len(part)
        assert s.recv(32, socket.MSG_WAITALL) == back.digest(), 'back'
        assert s.recv(1) == b''
        s.close()
        with lock: good[0] += 1
all = [threading.Thread(target=go) for _ in range(at_once)]
for t in all: t.start()
for t in all: t.join()
print(good[0], 'intact')
";

/// Milliseconds that a datagram takes to come back, the median of some.
const ROUND: &str = "import socket, time
a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in 'ab')
a.bind(('127.0.0.1', 0)); b.bind(('127.0.0.1', 0)); b.settimeout(5); a.settimeout(5)
took = []
for i in range(7):
    start = time.monotonic()
    b.sendto(b'x', a.getsockname()); a.sendto(a.recv(9), b.getsockname()); b.recv(9)
    took.append(time.monotonic() - start)
print(int(sorted(took)[3] * 1000))
";

/// Of a thousand datagrams, how many come.
const COUNT: &str = "import socket
a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in 'ab')
a.bind(('127.0.0.1', 0)); a.setblocking(False)
n = 0
for i in range(1000):
    b.sendto(b'%d' % i, a.getsockname())
    if i % 50 == 49:
        try:
            while True: a.recv(9); n += 1
        except BlockingIOError: pass
a.settimeout(0.5)
try:
    while True: a.recv(9); n += 1
except TimeoutError: pass
print(n)
";

/// Seconds that a transfer of so many bytes takes.
const STREAM: &str = "import socket, sys, threading, time
s = socket.create_server(('127.0.0.1', 0))
def send():
    c = s.accept()[0]
    c.sendall(bytes(int(sys.argv[1]))); c.close()
threading.Thread(target=send).start()
c = socket.create_connection(s.getsockname())
start = time.monotonic()
while c.recv(1 << 16): pass
print(time.monotonic() - start)
";

fn number(said: &str) -> f64 {
    said.trim().parse().unwrap_or_else(|_| panic!("no number: {said:?}"))
}

/// What `program` says with `--net lo` and these options.
fn with(place: &Place, options: &[&str], program: &[&str]) -> String {
    let mut run = place.run(&[], &[&["--net", "lo"], options].concat(), program);
    run.deadline = Some(std::time::Duration::from_secs(300));
    let outcome = run.output();
    assert_eq!(outcome.err(), "", "{options:?}");
    outcome.expect_exit(0).out()
}

everyone! {
    fn hundreds_of_transfers_are_intact_whatever_the_network_does() {
        let place = Place::new();
        let bad = "delay 2ms 1ms loss 2% duplicate 2% reorder 20% 50% corrupt 0.5%";
        let said = with(&place, &["--netem", bad], &["python3", "-c", TRANSFERS, "300", "30", "60000"]);
        assert_eq!(said, "300 intact\n");
        let said = with(&place, &["--netem", "delay 1ms loss 1%", "--rate", "100mbit", "--qdisc", "fq_codel"], &["python3", "-c", TRANSFERS, "60", "10", "60000"]);
        assert_eq!(said, "60 intact\n");
    }

    fn a_delay_is_there_twice_in_a_round() {
        let place = Place::new();
        let took = number(&with(&place, &["--netem", "delay 30ms"], &["python3", "-c", ROUND]));
        assert!((60.0..200.0).contains(&took), "{took} ms");
        let took = number(&with(&place, &[], &["python3", "-c", ROUND]));
        assert!(took < 30.0, "{took} ms without");
    }

    fn packets_are_lost_and_doubled() {
        let place = Place::new();
        let came = number(&with(&place, &["--netem", "loss 30%"], &["python3", "-c", COUNT]));
        assert!((600.0..800.0).contains(&came), "{came} of 1000");
        let came = number(&with(&place, &["--netem", "duplicate 30%"], &["python3", "-c", COUNT]));
        assert!((1200.0..1400.0).contains(&came), "{came} of 1000");
        assert_eq!(number(&with(&place, &["--netem", "loss 100%"], &["python3", "-c", COUNT])), 0.0);
    }

    fn a_rate_is_kept() {
        let place = Place::new();
        // 2 MB at 8 Mbit/s.
        let took = number(&with(&place, &["--rate", "8mbit"], &["python3", "-c", STREAM, "2000000"]));
        assert!((1.7..6.0).contains(&took), "{took} s");
        let took = number(&with(&place, &["--netem", "rate 8mbit"], &["python3", "-c", STREAM, "1000000"]));
        assert!((0.8..6.0).contains(&took), "{took} s");
        let took = number(&with(&place, &[], &["python3", "-c", STREAM, "2000000"]));
        assert!(took < 1.0, "{took} s without");
    }

    fn plain_preload_does_it_too() {
        let place = Place::new();
        let outcome = Run::new(["python3", "-c", COUNT])
            .env("LD_PRELOAD", place.file("libstowaway.so"))
            .env("STOWAWAY_NET", "lo")
            .env("STOWAWAY_NETEM", "loss 30%")
            .output();
        let came = number(&outcome.expect_exit(0).out());
        assert!((600.0..800.0).contains(&came), "{came} of 1000; {}", outcome.err());
    }

    fn tc_shows_what_it_would_set_up_itself() {
        if !has("tc") {
            return;
        }
        let place = Place::new();
        for words in [
            "netem delay 50ms",
            "netem delay 50ms 10ms 25%",
            "netem loss 2% 25%",
            "netem loss gemodel 1% 10% 70% 0.1%",
            "netem loss state 1% 20% 30% 40% 5%",
            "netem delay 10ms reorder 25% 50% gap 5",
            "netem delay 10ms reorder 25%",
            "netem limit 77 corrupt 0.1% duplicate 1%",
            "netem rate 10mbit 14",
            "netem loss 1% ecn",
            "fq",
            "fq limit 2000 flow_limit 50 quantum 3000 initial_quantum 15000 maxrate 10mbit buckets 256 nopacing",
            "fq refill_delay 20ms low_rate_threshold 100kbit orphan_mask 511 ce_threshold 4ms timer_slack 20us horizon 5s horizon_cap",
            "fq_codel",
            "fq_codel limit 1000 target 3ms interval 40ms noecn quantum 300 flows 64 memory_limit 4mb",
            "cake",
            "cake bandwidth 10mbit nat wash ack-filter besteffort dual-srchost rtt 50ms memlimit 2mb no-split-gso",
            "cake unlimited diffserv4 flowblind overhead 38 mpu 84 atm",
            "tbf rate 10mbit burst 32kb latency 50ms",
            "tbf rate 1mbit burst 3000 limit 9000",
            "pfifo limit 50",
            "bfifo limit 9000",
        ] {
            let (kind, rest) = words.split_once(' ').unwrap_or((words, ""));
            let (ours, mtu) = if kind == "netem" { (["--netem", rest], 1500) } else { (["--qdisc", words], 65536) };
            let shown = with(&place, &ours, &["sh", "-c", "tc qdisc show dev lo"]);
            let script = format!("ip link set lo mtu {mtu}; tc qdisc add dev lo root {words} && tc qdisc show dev lo");
            let wanted = with(&place, &[], &["sh", "-c", &script]);
            let plain = |text: &str| text.split_whitespace().enumerate().filter(|(at, _)| *at != 2).map(|(_, word)| word.to_string()).collect::<Vec<_>>();
            assert_eq!(plain(&shown), plain(&wanted), "{words}: the word that differs is not the handle:\n{shown}{wanted}");
        }
        let all = with(&place, &["--netem", "delay 1ms", "--rate", "10mbit", "--qdisc", "fq"], &["sh", "-c", "tc qdisc show dev lo"]);
        let rows: Vec<Vec<&str>> = all.lines().map(|line| line.split(' ').skip(1).take(4).collect()).collect();
        assert_eq!(rows, [vec!["netem", "1:", "root", "refcnt"], vec!["tbf", "2:", "parent", "1:1"], vec!["fq", "3:", "parent", "2:1"]], "{all}");
    }

    fn what_is_wrong_ends_the_run_with_a_line() {
        let place = Place::new();
        for (options, words) in [
            (["--netem", "delay 50"], "--netem: netem: delay has no time, such as 50ms"),
            (["--netem", ""], "does nothing"),
            (["--netem", "loss 1% distribution normal"], "distribution is not supported"),
            (["--qdisc", "htb"], "htb is not known"),
            (["--qdisc", "netem loss 1%"], "netem has a setting of its own"),
            (["--qdisc", "cake bandwidth"], "bandwidth has no rate"),
            (["--rate", "10mb"], "--rate: \"10mb\" is no rate"),
            // What only the kernel says.
            (["--qdisc", "fq_codel flows 0"], "qdisc=fq_codel flows 0: the kernel refuses it: invalid argument (EINVAL)"),
        ] {
            let outcome = place.run(&[], &["--net", "lo", options[0], options[1]], &["echo", "never"]).output();
            let said = outcome.err();
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{options:?}: {said}");
            assert!(said.contains(words) && said.lines().count() == 1, "{options:?}: {said}");
            let outcome = place.run(&[], &options, &["echo", "never"]).output();
            assert_eq!(outcome.status, "exit 125", "{options:?} without a network");
        }
    }

    fn with_a_network_to_the_outside_it_is_that_interface() {
        if !has("passt") {
            return;
        }
        let place = Place::new();
        let script = "tc qdisc show dev eth0; tc qdisc show dev lo; ip -d -o link show eth0 | grep -o 'gso_max_segs [0-9]*'";
        let outcome = place.run(&[], &["--net", "user", "--netem", "delay 3ms"], &["sh", "-c", script]).output();
        assert_eq!(
            outcome.expect_exit(0).out(),
            "qdisc netem 1: root refcnt 2 limit 1000 delay 3ms\nqdisc noqueue 0: root refcnt 2 \ngso_max_segs 1\n",
            "{}", outcome.err()
        );
    }
}
