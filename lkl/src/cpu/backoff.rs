// SPDX-License-Identifier: GPL-2.0-only
//! Threads that make call after call at the same time: each has the CPU for a while, in place of a turn each. A switch between
//! the tasks costs ten short calls, and so does every look of another thread at the words of the one that calls.
//!
//! Where threads find the CPU held again and again, each that does stays away from it for a moment, which becomes longer
//! as long as others do make many calls meanwhile. It may wait [`LONGEST_NS`] so, and is served then: by taking the CPU
//! between two calls of the other, or by posting its request. The other one finds the CPU held next, and is the one to
//! stay away. (So all go by one time, not each by its own.)

use super::slots::Shared;
use crate::sys::time::monotonic_ns;
use std::sync::atomic::Ordering::Relaxed;

const SHORTEST_NS: u32 = 1_000;
const LONGEST_NS: u32 = 48_000;
/// Finding the CPU held is a habit if it happened that long ago.
const RECENT_NS: u64 = 4 * LONGEST_NS as u64;
/// It is worth while if others made a call in so many ns.
const BUSY_NS: u64 = 300;
/// If it was not, it is not tried so many times.
const BACKOFF_SKIPS: u32 = 32;

/// The calling thread has found the CPU held: waits, perhaps. Whether others make call after call meanwhile.
#[cold]
pub(super) fn back_off(words: &Shared) -> bool {
    let now = monotonic_ns();
    let is_habit = now.saturating_sub(words.last_contended_ns.swap(now, Relaxed)) < RECENT_NS;
    let left = words.backoff_skips.load(Relaxed);
    if left != 0 {
        words.backoff_skips.store(left - 1, Relaxed);
        return false;
    }
    if !is_habit {
        words.backoff_ns.store(SHORTEST_NS, Relaxed);
        return false;
    }
    let time = words.backoff_ns.load(Relaxed).clamp(SHORTEST_NS, LONGEST_NS);
    let (calls, waited) = stay_away(words, now, u64::from(time));
    let busy = calls * BUSY_NS >= waited;
    if busy {
        words.backoff_ns.store((2 * time).min(LONGEST_NS), Relaxed);
    } else {
        words.backoff_ns.store(SHORTEST_NS, Relaxed);
        words.backoff_skips.store(BACKOFF_SKIPS, Relaxed);
    }
    words.last_contended_ns.store(now + waited, Relaxed);
    busy
}

/// Looks four times in `time` at most, and comes back early if nobody made a call in between. Calls seen, and ns.
fn stay_away(words: &Shared, start: u64, time: u64) -> (u64, u64) {
    let before = words.entry_seq.load(Relaxed);
    let (mut now, mut seen) = (start, before);
    // A look costs the one who calls as much as some calls do; and a switch between tasks is no idleness.
    let between = (time / 4).max(u64::from(SHORTEST_NS));
    while now < start + time {
        let next = now + between;
        while now < next {
            std::hint::spin_loop();
            now = monotonic_ns();
        }
        let seq = words.entry_seq.load(Relaxed);
        if seq == seen {
            break;
        }
        seen = seq;
    }
    (seen.wrapping_sub(before), now - start)
}
