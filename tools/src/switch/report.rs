// SPDX-License-Identifier: GPL-2.0-only
//! The table of members that the switch prints.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Switch;

/// Prints it to standard error.
pub fn print(switch: &Switch) {
    eprint!("{}", table(switch));
}

fn table(switch: &Switch) -> String {
    let mut text = format!(
        "{:<26} {:>11} {:>11} {:>14} {:>14} {:>10} {:>8} {:>9}\n",
        "member", "frames in", "frames out", "bytes in", "bytes out", "dropped", "bad", "addresses"
    );
    for member in switch.members().iter() {
        let counts = &member.counts;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let _ = writeln!(
            text,
            "{:<26} {:>11} {:>11} {:>14} {:>14} {:>10} {:>8} {:>9}",
            member.to_string(),
            of(&counts.frames_in),
            of(&counts.frames_out),
            of(&counts.bytes_in),
            of(&counts.bytes_out),
            of(&counts.dropped),
            of(&counts.bad),
            member.addresses.load(Ordering::Relaxed)
        );
    }
    let before = switch.dropped_before.load(Ordering::Relaxed);
    let _ = writeln!(text, "dropped for members that have gone: {before}");
    text
}
