// SPDX-License-Identifier: GPL-2.0-only
//! Calls of the application that go to the host as they are.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering};

use trampoline::gate::gate_unless;

use crate::sys::host::{Args, Ret};
use crate::sys::thread::{self, ServedBy};

/// Somebody watches: who serves a call is noted.
static OBSERVED: AtomicBool = AtomicBool::new(false);

/// Whether somebody watches the calls of this process (`observe`).
#[inline]
pub fn is_observed() -> bool {
    OBSERVED.load(Ordering::Relaxed)
}

/// From now on somebody watches.
pub fn set_observed() {
    OBSERVED.store(true, Ordering::Relaxed);
}

/// Makes a call of the application on the host. A thread that is being cancelled makes none: the result is
/// `gate::STOPPED` then (`signals::cancel`).
#[inline]
pub fn to_host(nr: usize, args: &Args) -> Ret {
    if is_observed() {
        thread::note_served(ServedBy::Host);
    }
    // SAFETY: the call is the application's own; what the call does to the application is its business.
    unsafe { gate_unless(thread::stop_flag(), nr as i64, args) }
}
