// SPDX-License-Identifier: GPL-2.0-only
//! Events reach the kernel whatever its threads do, by each backend of the doorbell: nobody starves, nothing is lost,
//! and the backend that was asked for is the one at work.

use std::time::Duration;
use stowaway_tests::everyone;
use stowaway_tests::fixture::{Kind, Side};
use stowaway_tests::mounted::{said_ok, Mounted};
use stowaway_tests::process::Run;
use stowaway_tests::user;

/// A backend as a user chooses it; user interrupts are emulated.
fn by(mounted: &Mounted, backend: &str, words: [&str; 2]) -> Run {
    let mut run = Run::new(words)
        .env("STOWAWAY_MOUNT", mounted.fixture.mount(""))
        .env("STOWAWAY_NET", "lo")
        .env("STOWAWAY_DOORBELL", backend)
        .env("STOWAWAY_STATS", "stderr");
    run.deadline = Some(Duration::from_secs(60));
    match backend {
        "uintr" => run.env("LD_PRELOAD", mounted.artifacts.with_emulator()),
        _ => run.env("LD_PRELOAD", &mounted.artifacts.library),
    }
}

/// What the statistics say of the doorbell, after its name.
fn counts(err: &str, name: &str) -> String {
    let start = format!("stowaway: doorbell {name}: ");
    let line = err.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no line `{start}` in: {err}")).to_string()
}

/// A number of that line.
fn count(counts: &str, name: &str) -> u64 {
    let part = counts.split(", ").find_map(|part| part.strip_suffix(name));
    part.and_then(|part| part.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in: {counts}"))
}

fn fairness(backend: &str, name: &str) -> String {
    let mounted = Mounted::new(Kind::Empty);
    let program = mounted.program("fairness", include_str!("../programs/facts/fairness.c"));
    let program = program.to_str().expect("UTF-8");
    let native = mounted.fixture.dir(Side::Native);
    said_ok("natively", &Run::new([program, native.to_str().expect("UTF-8")]).output());
    let outcome = by(&mounted, backend, [program, &mounted.dir()]).output();
    said_ok(backend, &outcome);
    mounted.check();
    for line in outcome.out().lines().filter(|line| line.contains("late by")) {
        user::note(&format!("doorbell {name}, among threads {line}"));
    }
    let counts = counts(&outcome.err(), name);
    user::note(&format!("doorbell {name}: {counts}"));
    assert!(count(&counts, "rung") > 0);
    counts
}

/// Among threads that compute some are interrupted. Only one that has a processor at that moment is: where the machine is
/// busy with other things that may take more than one run.
fn diverts(backend: &str, name: &str) {
    let is_diverted = |counts: String| count(&counts, "kicked") > 0 && count(&counts, "diverted") > 0;
    assert!((0..6).any(|_| is_diverted(fairness(backend, name))), "nobody was ever diverted");
}

fn stress(backend: &str, name: &str) {
    let mounted = Mounted::new(Kind::Empty);
    let program = mounted.program("stress", include_str!("../programs/facts/stress.c"));
    let run = by(&mounted, backend, [program.to_str().expect("UTF-8"), &mounted.dir()]).env("SECONDS", "4");
    let outcome = run.output();
    said_ok(backend, &outcome);
    mounted.check();
    assert!(count(&counts(&outcome.err(), name), "rung") > 0);
}

everyone! {
    fn nobody_starves_by_futex() {
        let counts = fairness("futex", "futex");
        assert_eq!((count(&counts, "kicked"), count(&counts, "diverted")), (0, 0));
        assert!(count(&counts, "ran by the ringer") > 0);
    }

    fn nobody_starves_by_signal() {
        diverts("signal", "signal");
    }

    fn nobody_starves_by_user_interrupts() {
        diverts("uintr", "uintr (emulated)");
    }

    fn mixed_stress_by_signal() { stress("signal", "signal"); }
    fn mixed_stress_by_user_interrupts() { stress("uintr", "uintr (emulated)"); }

    fn user_interrupts_that_are_not_there_are_said() {
        if std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" uintr")) {
            return user::note("doorbell: not run: this processor has user interrupts");
        }
        let mounted = Mounted::new(Kind::Basic);
        let run = mounted.preload(Run::new(["true"])).env("STOWAWAY_MOUNT", mounted.fixture.mount(""));
        let outcome = run.env("LD_PRELOAD", &mounted.artifacts.library).env("STOWAWAY_DOORBELL", "uintr").output();
        let expected = "stowaway: doorbell=uintr: the processor has no user interrupts: whoever brings an event deals with it\n";
        assert_eq!(outcome.expect_exit(0).err(), expected);
    }
}
