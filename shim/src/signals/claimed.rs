// SPDX-License-Identifier: GPL-2.0-only
//! Signals that are ours alone, whatever the application does with them, and signals that no mask may block.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU64, Ordering};

use once_cell::sync::OnceCell;

use crate::sys::sigcalls::{bit, FAULTS_WE_NEED};

/// Signals that are ours alone.
static CLAIMED: AtomicU64 = AtomicU64::new(0);

/// What deals with a claimed signal: false, the signal was not for us after all.
pub type Handler = fn(c_int, *mut c_void) -> bool;
static HANDLER: OnceCell<Handler> = OnceCell::new();

/// These signals are ours from now on. Their actions have to be installed after this (`actions::install_claimed`).
pub fn claim(signals: u64, handler: Handler) {
    let _ = HANDLER.set(handler);
    CLAIMED.store(signals, Ordering::Relaxed);
}

/// The signals that are ours alone.
pub fn claimed() -> u64 {
    CLAIMED.load(Ordering::Relaxed)
}

/// Signals that no mask may block: those of ours, and the faults that we have to see.
pub fn never_blocked() -> u64 {
    FAULTS_WE_NEED | claimed()
}

/// In a signal handler: whether the signal was one of ours, and is dealt with.
pub fn deal_with(sig: c_int, context: *mut c_void) -> bool {
    claimed() & bit(sig) != 0 && HANDLER.get().is_some_and(|handler| handler(sig, context))
}
