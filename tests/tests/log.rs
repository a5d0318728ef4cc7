// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway log`: the log of a running kernel, read from outside.
#![allow(unsafe_code)]

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::held::Held;
use stowaway_tests::keeper::keeper_of;
use stowaway_tests::mounted::{line_with, Mounted};
use stowaway_tests::process::{finish, Outcome, Run, DEADLINE};

/// Uses the mount, and waits.
const HOLD: &str = "read -r line <@/hello.txt; echo held; read -r line; exit 0";

fn hold(mounted: &Mounted) -> Run {
    mounted.run(["sh", "-c", &HOLD.replace('@', &mounted.dir())])
}

fn log_of(mounted: &Mounted, words: &[&str]) -> Run {
    let command = mounted.artifacts.command.display().to_string();
    Run::new([&[command.as_str(), "log"], words].concat())
}

#[track_caller]
fn logged(mounted: &Mounted, who: &str) -> String {
    let outcome = log_of(mounted, &[who]).output();
    assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
    outcome.out()
}

fn is_refused(outcome: &Outcome, words: &[&str]) {
    outcome.expect_exit(1);
    assert_eq!(outcome.out(), "");
    line_with(outcome, words);
}

fn send(pid: u32, signal: i32) {
    // SAFETY: kill takes two numbers.
    assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
}

fn state_of(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").map(|(_, rest)| rest[..1].to_owned()).unwrap_or_default()
}

everyone! {
    fn the_log_is_what_the_kernel_wrote() {
        let mounted = Mounted::new(Kind::Basic);
        let file = mounted.fixture.base.path().join("kernel.log");
        let held = Held::start(&hold(&mounted).env("STOWAWAY_KERNEL_LOG", &file));
        let log = logged(&mounted, &held.child.id().to_string());
        let written = std::fs::read_to_string(&file).expect("the kernel's own file");
        // What is for debugging is in the log alone.
        let both: Vec<&str> = log.lines().filter(|line| written.lines().any(|other| other == *line)).collect();
        assert_eq!(both, written.lines().collect::<Vec<_>>());
        assert!(log.lines().count() < both.len() + 20, "{log}");
        assert!(log.starts_with("[    0.000000] Linux version 6.1."), "{log}");
        assert!(log.contains("] EXT4-fs (lkb0): mounted filesystem"), "{log}");
        held.rest().expect_exit(0);
    }

    fn without_a_file_and_of_a_kernel_that_is_not_shared() {
        for (name, value) in [("STOWAWAY_KERNEL_LOG", "off"), ("STOWAWAY_SHARE", "no"), ("STOWAWAY_KEEPER", "no")] {
            let mounted = Mounted::new(Kind::Basic);
            let held = Held::start(&hold(&mounted).env(name, value));
            let log = logged(&mounted, &held.child.id().to_string());
            assert!(log.contains("] EXT4-fs (lkb0): mounted filesystem"), "{name}={value}: {log}");
            held.rest().expect_exit(0);
        }
    }

    fn nobody_has_to_run_for_it() {
        let mounted = Mounted::new(Kind::Basic);
        let held = Held::start(&hold(&mounted));
        let all = [held.child.id(), keeper_of(&held.child)];
        all.iter().for_each(|&pid| send(pid, libc::SIGSTOP));
        let end = Instant::now() + DEADLINE;
        while all.iter().any(|&pid| state_of(pid) != "T") {
            assert!(Instant::now() < end, "they do not stop");
        }
        for pid in all {
            let log = logged(&mounted, &pid.to_string());
            assert!(log.contains("] EXT4-fs (lkb0): mounted filesystem"), "{log}");
        }
        assert_eq!(all.map(state_of), ["T", "T"], "nobody was let go on");
        all.iter().for_each(|&pid| send(pid, libc::SIGCONT));
        held.rest().expect_exit(0);
    }

    fn of_an_instance_by_its_name() {
        let mounted = Mounted::new(Kind::Basic);
        let name = format!("log-{}", std::process::id());
        let held = Held::start(
            &hold(&mounted).env("STOWAWAY_INSTANCE", &name).env("XDG_RUNTIME_DIR", mounted.fixture.base.path()),
        );
        let log = logged(&mounted, &name);
        assert!(log.contains("] EXT4-fs (lkb0): mounted filesystem"), "{log}");
        held.rest().expect_exit(0);
    }

    fn followed_until_the_instance_ends() {
        let mounted = Mounted::new(Kind::Basic);
        let held = Held::start(&hold(&mounted));
        let mut child = log_of(&mounted, &["--follow", &held.child.id().to_string()]).spawn();
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut seen = String::new();
        while !seen.contains("mounted filesystem") {
            assert!(lines.read_line(&mut seen).expect("a line") > 0, "it has ended: {seen}");
        }
        std::thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().expect("a child").is_none(), "it goes on");
        held.rest().expect_exit(0);
        child.stdout = None;
        while lines.read_line(&mut seen).expect("a line") > 0 {}
        finish(child, DEADLINE).expect_exit(0);
        assert!(seen.trim_end().ends_with("EXT4-fs (lkb0): unmounting filesystem."), "{seen}");
        assert_eq!(seen.matches("Linux version").count(), 1, "{seen}");
    }

    fn those_that_have_no_kernel() {
        let mounted = Mounted::new(Kind::Basic);
        is_refused(&log_of(&mounted, &[&std::process::id().to_string()]).output(), &["has no kernel"]);
        is_refused(&log_of(&mounted, &["4194999"]).output(), &["4194999", "no such process"]);
        is_refused(&log_of(&mounted, &["no-such-name"]).output(), &["no-such-name", "stowaway ps"]);
        assert_eq!(log_of(&mounted, &[]).output().status, "exit 2");
    }
}
