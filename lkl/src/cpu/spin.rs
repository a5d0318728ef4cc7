// SPDX-License-Identifier: GPL-2.0-only
//! Spinning: how a thread that waits looks again and again before it sleeps.
//!
//! # Safety
//! RDTSCP writes to a variable of the caller.
#![allow(unsafe_code)]

use super::slots::CallSlot;
use crate::sys::{process, time};
use std::sync::atomic::Ordering;

/// Turns before others are let go first.
const SPINS_BEFORE_YIELD: u32 = 100;
/// Looks at the clock, once in so many, while others are let go first.
const YIELDS_PER_CLOCK_LOOK: u32 = 4;

/// A spinning thread's memory of one round.
#[derive(Debug)]
pub(crate) struct Spin {
    spins: u32,
    on: u32,
}

impl Spin {
    pub(super) fn begin() -> Spin {
        Spin { spins: 0, on: processor() }
    }

    /// One turn of spinning. Returns whether the thread looks once more. `since`: when the wait began to take long, or 0.
    /// `wake_cost_ns`: what it costs to be woken, ns.
    pub(super) fn spin_once(
        &mut self,
        w: &CallSlot,
        since: &mut u64,
        wake_cost_ns: impl FnOnce() -> u64,
    ) -> bool {
        self.spins += 1;
        // The thread that completed the last request may share this processor: it can do nothing while we spin.
        if self.spins < SPINS_BEFORE_YIELD && w.completed_on_cpu.load(Ordering::Relaxed) != self.on {
            std::hint::spin_loop();
            return true;
        }
        // A longer look lets others go first. It may take their whole time slice: not where waits turned out to be long.
        if w.spin_budget.load(Ordering::Relaxed) == 0 {
            *since = if *since == 0 { time::monotonic_ns() } else { *since };
            return false;
        }
        let cost = wake_cost_ns();
        process::yield_now();
        if self.spins % YIELDS_PER_CLOCK_LOOK != 0 {
            return true;
        }
        let now = time::monotonic_ns();
        if *since == 0 {
            *since = now;
        }
        now - *since < cost
    }
}

/// The number of the host's processor that the thread is on.
pub(super) fn processor() -> u32 {
    let mut aux = 0;
    // SAFETY: rdtscp is in every x86-64 processor that has Linux's getcpu; it writes to `aux` only.
    unsafe { core::arch::x86_64::__rdtscp(&raw mut aux) };
    aux
}
