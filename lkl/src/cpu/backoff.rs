// SPDX-License-Identifier: GPL-2.0-only
//! Backoff: threads that make call after call at the same time have the CPU for a while each, in place of a turn a call. A
//! switch between tasks costs as much as ten short calls. A look of another thread at the shared words costs as much.
//!
//! A thread that finds the CPU held again and again stays away from the CPU for a moment. The moment becomes longer as long
//! as others make many calls meanwhile, up to [`LONGEST_NS`]. Then the thread is served: it takes the CPU between two calls of
//! the other thread, or posts its request. The other thread finds the CPU held next and stays away in turn. All threads
//! share one length of time.

use super::slots::Shared;
use crate::sys::time::monotonic_ns;
use std::sync::atomic::Ordering::Relaxed;

const SHORTEST_NS: u32 = 1_000;
const LONGEST_NS: u32 = 48_000;
/// Contention is a habit if the CPU was last found held not longer ago than this.
const RECENT_NS: u64 = 4 * LONGEST_NS as u64;
/// Backing off pays if others made a call at least every so many ns.
const BUSY_NS: u64 = 300;
/// After a backoff that did not pay, so many backoffs are left out.
const BACKOFF_SKIPS: u32 = 32;

/// The calling thread has found the CPU held, and waits perhaps. Returns whether others make call after call meanwhile.
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
    // A look costs the calling thread as much as some calls do. A switch between tasks is no idleness.
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
