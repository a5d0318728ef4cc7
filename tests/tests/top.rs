// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway top`: what a running kernel does, as text and in a terminal.

use std::time::{Duration, Instant};
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::held::Held;
use stowaway_tests::mounted::{line_with, Mounted};
use stowaway_tests::process::{finish, Run, DEADLINE};

/// Uses the mount, says so, and does one thing again and again until its input ends.
const WORK: &str = "import os, select, sys
fd = os.open(sys.argv[1], os.O_RDWR)
print('held', flush=True)
while not select.select([0], [], [], 0)[0]:
    os.pread(fd, 16, 0)
    os.pwrite(fd, b'x' * 4096, 8192)
    os.fsync(fd)
";

fn work(mounted: &Mounted) -> Run {
    mounted.run(["python3", "-c", WORK, &format!("{}/hello.txt", mounted.dir())])
}

fn top_of(mounted: &Mounted, words: &[&str]) -> Run {
    let command = mounted.artifacts.command.display().to_string();
    Run::new([&[command.as_str(), "top"], words].concat())
}

/// The number before a word of the line.
#[track_caller]
fn number(line: &str, word: &str) -> f64 {
    let mut words = line.split_whitespace().collect::<Vec<_>>();
    words.retain(|one| !one.is_empty());
    let at = words.iter().position(|one| one.trim_end_matches([';', ',', ':']) == word);
    let at = at.unwrap_or_else(|| panic!("no {word} in {line}"));
    words[at - 1].trim_end_matches('%').parse().unwrap_or_else(|_| panic!("no number before {word}: {line}"))
}

#[track_caller]
fn line<'a>(text: &'a str, begin: &str) -> &'a str {
    text.lines()
        .find(|line| line.trim_start().starts_with(begin))
        .unwrap_or_else(|| panic!("no {begin} in {text}"))
}

/// Runs top in a terminal of 100 columns, does `what` with it, and prints what it drew, how it ended, and whether the terminal is
/// as before.
const TERMINAL: &str = "import fcntl, os, pty, select, signal, struct, sys, termios, time
what, words = sys.argv[1], sys.argv[2:]
main, side = pty.openpty()
fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 100, 0, 0))
before = termios.tcgetattr(side)
pid = os.fork()
if pid == 0:
    os.login_tty(side) if hasattr(os, 'login_tty') else (os.setsid(), fcntl.ioctl(side, termios.TIOCSCTTY, 0), [os.dup2(side, n) for n in range(3)])
    os.execv(words[0], words)
drawn = b''
def read(until, seconds):
    global drawn
    end = time.time() + seconds
    while until not in drawn and time.time() < end:
        if select.select([main], [], [], 0.1)[0]:
            drawn += os.read(main, 65536)
read(b'q quit', 20)
raw = termios.tcgetattr(side) != before
if what == 'resize':
    drawn = b''
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack('HHHH', 20, 60, 0, 0))
    os.kill(pid, signal.SIGWINCH)
    read(b'instance', 20)
    what = 'q'
if what in ('TERM', 'INT', 'HUP'):
    os.kill(pid, getattr(signal, 'SIG' + what))
elif what != 'wait':
    os.write(main, what.encode().decode('unicode_escape').encode())
read(b'\\x1b[?1049l', 20)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
same = termios.tcgetattr(side) == before
print('raw', raw, 'status', status, 'restored', same, 'left', b'\\x1b[?1049l' in drawn)
";

fn in_terminal(mounted: &Mounted, what: &str, words: &[&str]) -> Run {
    let command = mounted.artifacts.command.display().to_string();
    Run::new([&["python3", "-c", TERMINAL, what, &command, "top"], words].concat())
}

#[track_caller]
fn ends(mounted: &Mounted, what: &str, status: i32, words: &[&str]) {
    let outcome = in_terminal(mounted, what, words).output();
    assert_eq!((outcome.err().as_str(), outcome.status.as_str()), ("", "exit 0"), "{what}");
    assert_eq!(outcome.out(), format!("raw True status {status} restored True left True\n"), "{what}");
}

everyone! {
    fn one_look_is_plain_text() {
        let mounted = Mounted::new(Kind::Basic);
        let held = Held::start(&work(&mounted));
        let pid = held.child.id().to_string();
        let outcome = top_of(&mounted, &["--once", &pid]).output();
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        let text = outcome.out();
        assert!(text.starts_with("instance "), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("instance ")).count(), 1, "{text}");
        let cpu = line(&text, "cpu:");
        assert!(number(cpu, "busy") > 0.0 && number(cpu, "calls/s") > 10.0, "{text}");
        let memory = line(&text, "memory:");
        let (total, used, free) = (number(memory, "MiB"), number(memory, "used"), number(memory, "free"));
        assert!((40.0..=64.0).contains(&total) && (used + free - total).abs() < 0.3, "{text}");
        assert!(number(memory, "cache") > 0.0, "{text}");
        let calls = line(&text, "calls/s:");
        assert!(["pread64", "pwrite64", "fsync"].iter().all(|name| calls.contains(name)), "{text}");
        let disk = text.lines().skip_while(|line| !line.contains("READ/S")).nth(1).expect("a disk");
        let disk: Vec<&str> = disk.split_whitespace().collect();
        assert!(disk[2].parse::<f64>().is_ok_and(|writes| writes > 1.0), "{text}");
        assert!(disk[5].contains(&mounted.dir()) || disk[5] == "lkb0", "{text}");
        let row: Vec<&str> = line(&text, &pid).split_whitespace().collect();
        assert!(row[4].parse::<u64>().is_ok_and(|rate| rate > 10), "{text}");
        assert!(row[6].contains("python3") || row[6].contains("libstowaway"), "{text}");
        held.rest().expect_exit(0);
    }

    fn the_memory_is_what_the_kernel_says() {
        let mounted = Mounted::new(Kind::Basic);
        let proc = format!("none:{}-proc,type=proc", mounted.dir());
        let mounts = format!("{};{proc}", mounted.fixture.mount(""));
        let script = format!("cat {0}/hello.txt >/dev/null; cat {0}-proc/meminfo >&2; echo held; read -r line", mounted.dir());
        let held = Held::start(&mounted.preload(Run::new(["sh", "-c", &script])).env("STOWAWAY_MOUNT", mounts));
        let text = top_of(&mounted, &["--once", "--delay", "0.1", &held.child.id().to_string()]).output().out();
        let said = held.rest().err();
        let kib = |name: &str| number(&line(&said, name).replace("kB", "kB "), "kB");
        let memory = line(&text, "memory:");
        let near = |ours: f64, theirs: f64| assert!((ours - theirs / 1024.0).abs() < 1.0, "{text}{said}");
        near(number(memory, "MiB"), kib("MemTotal:"));
        near(number(memory, "free"), kib("MemFree:"));
        near(number(memory, "cache"), kib("Cached:") + kib("Buffers:"));
    }

    fn a_pipe_gets_all_instances_once() {
        let mounted = Mounted::new(Kind::Basic);
        let held = Held::start(&work(&mounted));
        let outcome = top_of(&mounted, &["--delay", "0.2"]).output();
        outcome.expect_exit(0);
        line(&outcome.out(), &held.child.id().to_string());
        held.rest().expect_exit(0);
        let outcome = top_of(&mounted, &["no-such-name"]).output();
        outcome.expect_exit(1);
        line_with(&outcome, &["no-such-name"]);
        assert_eq!(top_of(&mounted, &["--delay", "0"]).output().status, "exit 2");
    }

    fn several_processes_have_their_own_counts() {
        let mounted = Mounted::new(Kind::Basic);
        let script = "(while :; do read -r line <@/hello.txt; done) & pid=$!; echo held; read -r line; kill $pid";
        let held = Held::start(&mounted.run(["sh", "-c", &script.replace('@', &mounted.dir())]));
        let text = top_of(&mounted, &["--once", &held.child.id().to_string()]).output().out();
        let rows: Vec<Vec<&str>> =
            text.lines().filter(|line| line.contains("read -r line")).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), 2, "{text}");
        let rate = |pid: &str| rows.iter().find(|row| row[0] == pid).map(|row| row[4].parse::<u64>().expect("a number"));
        assert_eq!(rate(&held.child.id().to_string()), Some(0), "the parent waits: {text}");
        assert!(rows.iter().any(|row| row[4].parse::<u64>().is_ok_and(|rate| rate > 100)), "{text}");
        held.rest();
    }

    fn the_terminal_is_as_before() {
        let mounted = Mounted::new(Kind::Basic);
        let held = Held::start(&work(&mounted));
        let pid = held.child.id().to_string();
        for (what, status) in [("q", 0), ("\\x03", 0), ("TERM", 143), ("INT", 130), ("HUP", 129), ("csptq", 0), ("resize", 0)] {
            ends(&mounted, what, status, &[&pid]);
        }
        ends(&mounted, "q", 0, &[]);
        held.rest().expect_exit(0);
    }

    fn it_ends_with_the_instance() {
        let mounted = Mounted::new(Kind::Basic);
        let held = Held::start(&work(&mounted));
        let pid = held.child.id().to_string();
        let child = in_terminal(&mounted, "wait", &["--delay", "0.3", &pid]).spawn();
        std::thread::sleep(Duration::from_secs(1));
        held.rest().expect_exit(0);
        let begin = Instant::now();
        let outcome = finish(child, DEADLINE);
        assert_eq!(outcome.out(), "raw True status 0 restored True left True\n", "{}", outcome.err());
        assert!(begin.elapsed() < Duration::from_secs(15));
    }
}
