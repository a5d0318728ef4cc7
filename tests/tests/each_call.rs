// SPDX-License-Identifier: GPL-2.0-only
//! A deadly signal at each system call that a program and this library make, one run after another: whatever the library is at
//! then, the program ends, nobody hangs, and the image is whole. `STOWAWAY_EACH_CALL` is the distance between the calls
//! that are tried (1: all).

use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::Outcome;

/// A prime, so that the two users do not try the same calls.
const DISTANCE: usize = 61;
/// Before an exec each call is tried: threads of ours end there, and files change hands.
const BEFORE_EXEC: usize = 32;
/// What signal_at ends with if the signal was never sent.
const NEVER: &str = "exit 99";

fn distance() -> usize {
    std::env::var("STOWAWAY_EACH_CALL").ok().and_then(|text| text.parse().ok()).unwrap_or(DISTANCE)
}

/// A shell's script on an image, and the program that sends the signals.
struct Victim {
    mounted: Mounted,
    sender: String,
    script: String,
}

impl Victim {
    fn new(script: &str) -> Victim {
        let mounted = Mounted::new(Kind::Basic);
        let sender = mounted.program("signal_at", include_str!("../programs/helpers/signal_at.c"));
        let script = script.replace("MOUNT", &mounted.dir());
        Victim { sender: sender.display().to_string(), mounted, script }
    }

    /// The signal comes at call number `at` of each process; 0: never.
    fn run(&self, signal: i32, at: usize) -> Outcome {
        let preload = format!("LD_PRELOAD={}", self.mounted.artifacts.library.display());
        let mount = format!("STOWAWAY_MOUNT={}", self.mounted.fixture.mount(""));
        let (signal, at) = (signal.to_string(), at.to_string());
        let words = [
            self.sender.as_str(),
            &signal,
            &at,
            "/usr/bin/env",
            &preload,
            &mount,
            "/bin/bash",
            "-c",
            &self.script,
        ];
        stowaway_tests::process::Run::new(words).output()
    }

    /// The calls to try: some of all, and all of those before an exec.
    fn calls(&self) -> Vec<usize> {
        let told = self.run(0, 0);
        let number = |line: &str| line.split(' ').next_back().and_then(|word| word.parse::<usize>().ok());
        let at = |what: &str| -> Vec<usize> {
            told.err().lines().filter(|line| line.starts_with(what)).filter_map(number).collect()
        };
        let end = at("end ").into_iter().max().unwrap_or_else(|| panic!("no end: {}", told.err()));
        let first = 1 + stowaway_tests::user::id() as usize % distance();
        let mut calls: Vec<usize> = (first..end).step_by(distance()).collect();
        calls.extend(at("exec ").into_iter().flat_map(|exec| exec.saturating_sub(BEFORE_EXEC).max(1)..exec));
        calls
    }

    #[track_caller]
    fn ends_at_each_call(&self, signal: i32) {
        let calls = self.calls();
        let mut sent = 0;
        for &at in &calls {
            let outcome = self.run(signal, at);
            assert_ne!(outcome.status, "hang", "signal {signal} at call {at}: {}", outcome.err());
            sent += usize::from(outcome.status != NEVER);
            self.mounted.wait_until_free();
            self.mounted.check();
        }
        // The number of calls differs from run to run, by a few.
        assert!(sent * 10 > calls.len() * 9, "only {sent} of {} signals were sent", calls.len());
    }
}

everyone! {
    fn a_shell_with_children() {
        let script = "echo a >MOUNT/new && (cat MOUNT/new | wc -c; exec cat MOUNT/new) && /bin/true";
        Victim::new(script).ends_at_each_call(libc::SIGTERM);
    }

    fn a_program_in_place_of_the_shell() {
        let script = "echo a >MOUNT/new; exec /bin/sh -c 'read a <MOUNT/new && exec /bin/echo $a'";
        Victim::new(script).ends_at_each_call(libc::SIGTERM);
    }
}
