// SPDX-License-Identifier: GPL-2.0-only
//! A family that is watched has one table (`--stats`) and one list of lines (`--trace`).

use std::path::PathBuf;
use std::time::{Duration, Instant};
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::{Outcome, Run, DEADLINE};

struct Watched {
    mounted: Mounted,
    log: PathBuf,
}

impl Watched {
    fn new() -> Watched {
        let mounted = Mounted::new(Kind::Basic);
        let log = mounted.fixture.base.path().join("watched.log");
        Watched { mounted, log }
    }

    /// A script with @ for the mount, % for the log.
    fn script(&self, text: &str) -> Run {
        let text = text.replace('@', &self.mounted.dir()).replace('%', &self.log.display().to_string());
        self.mounted.run(["sh", "-c", &text])
    }

    fn counted(&self, text: &str) -> Outcome {
        self.script(text).env("STOWAWAY_STATS", &self.log).output()
    }

    fn written(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The table, which a process writes that nobody waits for.
    #[track_caller]
    fn written_soon(&self) -> String {
        let end = Instant::now() + DEADLINE;
        while self.written().is_empty() {
            assert!(Instant::now() < end, "there is no table");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.written()
    }
}

fn heads(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("stowaway: process ")).collect()
}

/// The one table's head ends so, before the number of calls.
#[track_caller]
fn is_one_table(text: &str, of: &str) {
    let heads = heads(text);
    assert_eq!(heads.len(), 1, "{text}");
    let (head, calls) = heads[0].rsplit_once(": ").expect("a number of calls");
    assert!(head.ends_with(of), "{head}");
    assert_eq!(calls, format!("{} calls", calls_of(text, "total")), "{text}");
}

/// How often the call was made.
fn calls_of(text: &str, name: &str) -> u64 {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let row = text.lines().map(words).find(|words| words.len() == 9 && words[8] == name);
    row.map_or(0, |words| words[0].parse().expect("a number"))
}

fn lines_with(text: &str, word: &str) -> usize {
    text.lines().filter(|line| line.contains(word)).count()
}

everyone! {
    fn one_table_for_children_and_what_they_execute() {
        let watched = Watched::new();
        let outcome = watched.counted("/bin/true; (exit 3); env -i /bin/cat @/hello.txt; exec /bin/true");
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        let text = watched.written();
        is_one_table(&text, "(true) and 3 others");
        assert_eq!(calls_of(&text, "exit_group"), 4, "{text}");
        assert_eq!(calls_of(&text, "execve"), 4, "{text}");
        watched.mounted.check();
    }

    fn what_a_killed_child_did_is_counted() {
        let watched = Watched::new();
        let outcome = watched.counted("perl -e 'getppid() for 1..100; kill 9, $$'; true");
        outcome.expect_exit(0);
        let text = watched.written();
        is_one_table(&text, "(sh) and 1 other");
        assert!(calls_of(&text, "getppid") >= 100, "{text}");
    }

    fn the_last_one_prints() {
        let watched = Watched::new();
        watched.counted("setsid sh -c 'sleep 2; /bin/true' >/dev/null 2>&1 & sleep 0.5; exit 0").expect_exit(0);
        let text = watched.written_soon();
        is_one_table(&text, "(sh) and 4 others");
        assert_eq!(calls_of(&text, "exit_group"), 5, "{text}");
    }

    fn a_program_that_is_not_served_keeps_nobody_waiting() {
        let watched = Watched::new();
        let begin = Instant::now();
        watched.counted("STOWAWAY_FOLLOW=no setsid sleep 20 >/dev/null 2>&1 & sleep 0.5; exit 0").expect_exit(0);
        is_one_table(&watched.written_soon(), "(sh) and 2 others");
        assert!(begin.elapsed() < Duration::from_secs(20));
    }

    fn a_child_that_asks_for_something_else_is_a_family_of_its_own() {
        let watched = Watched::new();
        watched.counted("STOWAWAY_STATS=%.2 /bin/true; STOWAWAY_STATS=off /bin/true").expect_exit(0);
        is_one_table(&watched.written(), "(sh) and 2 others");
        let other = std::fs::read_to_string(watched.log.with_extension("log.2")).expect("another table");
        is_one_table(&other, "(true)");
    }

    fn several_at_once() {
        let watched = Watched::new();
        let script = "for n in 1 2 3 4 5 6 7 8; do (cat @/hello.txt; exec cat @/hello.txt) >/dev/null & done; wait";
        watched.counted(script).expect_exit(0);
        let text = watched.written();
        is_one_table(&text, "(sh) and 16 others");
        assert_eq!(calls_of(&text, "exit_group"), 17, "{text}");
    }

    fn lines_of_all_go_where_the_first_ones_go() {
        let watched = Watched::new();
        let script = "(cat @/hello.txt; env -i /bin/cat @/hello.txt) 2>/dev/null";
        let outcome = watched.script(script).env("STOWAWAY_TRACE", "stderr,open,openat,exit_group").output();
        outcome.expect_exit(0);
        let (err, opened) = (outcome.err(), format!("\"{}/hello.txt\", O_RDONLY", watched.mounted.dir()));
        assert_eq!(lines_with(&err, &opened), 2, "{err}");
        assert_eq!(lines_with(&err, "] exit_group(0) = ? <"), 3, "{err}");
        let mut pids: Vec<&str> = err.lines().filter(|l| l.contains("exit_group")).filter_map(|l| l.split(']').next()).collect();
        pids.sort_unstable();
        pids.dedup();
        assert_eq!(pids.len(), 3, "{err}");
        assert!(err.lines().all(|line| line.starts_with("[pid ")), "{err}");
    }

    fn a_file_of_lines_is_one_file_whatever_its_name() {
        let watched = Watched::new();
        let outcome = watched.script("mv % %.2; cd /; /bin/true; exec /bin/true").env("STOWAWAY_TRACE", &watched.log);
        outcome.output().expect_exit(0);
        assert!(!watched.log.exists(), "{}", watched.written());
        let text = std::fs::read_to_string(watched.log.with_extension("log.2")).expect("the lines");
        assert_eq!(lines_with(&text, "] exit_group(0) = ? <"), 3, "{text}");
    }

    fn nothing_of_it_is_seen_by_the_program() {
        let watched = Watched::new();
        let script = "ls /proc/self/fd; env; exec env -i /bin/ls /proc/self/fd";
        let plain = watched.script(script).output().out();
        let outcome = watched.script(script).env("STOWAWAY_STATS", &watched.log).output();
        let kept = |line: &&str| !line.starts_with("STOWAWAY_") && !line.starts_with("LD_PRELOAD=");
        let lines = |text: &str| text.lines().filter(kept).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&outcome.out()), lines(&plain));
    }
}
