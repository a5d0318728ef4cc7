// SPDX-License-Identifier: GPL-2.0-only
//! One C program per matter: it must say `ok` natively and through the shim.

use stowaway_tests::everyone;
use stowaway_tests::mounted::{fact, fact_mounted, our_lines};

macro_rules! program {
    ($name:literal) => {
        ($name, include_str!(concat!("../programs/", $name, ".c")))
    };
}

/// A fact of every kernel, with nothing said by us.
#[track_caller]
fn as_native((name, source): (&str, &str)) {
    let outcome = fact(name, source);
    assert_eq!(outcome.err(), "");
}

everyone! {
    fn descriptor_numbers() { as_native(program!("fds")); }
    fn paths_and_inodes() { as_native(program!("paths")); }
    fn transfers() { as_native(program!("transfer")); }
    fn threads() { as_native(program!("threads")); }
    fn signals() { as_native(program!("signals")); }
    fn a_timer_during_a_write_load() { as_native(program!("timer")); }

    fn forks() {
        let (name, source) = program!("forks");
        let lines = our_lines(&fact_mounted(name, source));
        // One child tried, with open files and with paths: at most a line each.
        assert!(matches!(lines.len(), 1 | 2), "{lines:?}");
    }

    fn the_border_between_the_kernels() {
        let (name, source) = program!("border");
        let outcome = fact_mounted(name, source);
        let lines = our_lines(&outcome);
        for word in ["poll", "select", "epoll_ctl", "inotify_add_watch"] {
            assert!(lines.iter().any(|line| line.contains(word)), "no line about {word}: {lines:?}");
        }
    }
}
