// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's clock event: one host thread that sleeps until the deadline, if no other does. It lives as long as the
//! kernel.
//!
//! # Safety
//! The thread's handle is touched by the one thread that boots or ends the kernel, or is all that a fork left.
#![allow(unsafe_code)]

use super::entry;
use crate::sys::helper_thread::HelperThread;
use crate::sys::{process, Errno};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

struct Slot(UnsafeCell<Option<HelperThread>>);
// SAFETY: touched by the one thread that boots or ends the kernel, or is all that a fork left.
unsafe impl Sync for Slot {}
static THREAD: Slot = Slot(UnsafeCell::new(None));

fn take() -> Option<HelperThread> {
    // SAFETY: see Slot.
    unsafe { (*THREAD.0.get()).take() }
}

/// Starts the clock's thread.
pub(crate) fn start() -> Result<(), Errno> {
    STOP.store(false, Ordering::Relaxed);
    let thread = HelperThread::spawn(c"stowaway-timer", run, 0)?;
    // SAFETY: see Slot.
    unsafe { *THREAD.0.get() = Some(thread) };
    Ok(())
}

/// Ends the clock's thread.
pub(crate) fn stop() {
    let Some(thread) = take() else { return };
    STOP.store(true, Ordering::SeqCst);
    // It may have looked just before, and sleep after.
    while !thread.has_ended() {
        entry::wake_clock();
        process::sleep_ns(100_000);
    }
    thread.join();
}

/// In the child of a fork, or where the clock is another process's: forgets the clock's thread, which is not here.
pub(crate) fn reset_in_child() {
    if let Some(thread) = take() {
        thread.forget();
    }
}

/// What the clock's thread runs.
extern "C" fn run(_: usize) {
    // The host may be 50 us late otherwise.
    process::set_timer_slack_ns(1);
    while !STOP.load(Ordering::SeqCst) {
        entry::tick();
    }
}
