// SPDX-License-Identifier: GPL-2.0-only
//! What signals mean for caught threads: heavy work without handlers, and the faults that are ours.
//!
//! # Safety
//! The one pointer made here is to a closure that outlives its call.
#![allow(unsafe_code)]

use super::arm::arm_thread;
use crate::abi::signal_bit;
use crate::{alternate, entry, host, rewrite, thread, vectors};

/// Signals that a thread cannot put off: they stay unblocked.
const FAULTS: u64 = signal_bit(libc::SIGSEGV)
    | signal_bit(libc::SIGBUS)
    | signal_bit(libc::SIGILL)
    | signal_bit(libc::SIGFPE)
    | signal_bit(libc::SIGTRAP)
    | signal_bit(libc::SIGSYS);

/// Blocks all signals but faults of the calling thread; returns the mask before.
pub(super) fn block_signals() -> u64 {
    host::set_signal_mask(!FAULTS)
}

/// Runs heavy work of ours in the middle of a call: no handler of the application runs meanwhile, and it may use any
/// vector register.
pub fn uninterrupted(mut work: impl FnMut()) {
    extern "C" fn run<F: FnMut()>(work: usize) {
        // SAFETY: the address of the closure below, which outlives the call.
        unsafe { (*(work as *mut F))() }
    }
    fn address<F: FnMut()>(work: &mut F) -> (extern "C" fn(usize), usize) {
        (run::<F>, core::ptr::from_mut(work) as usize)
    }
    let (run, at) = address(&mut work);
    let mask = block_signals();
    vectors::with_all_vectors(run, at);
    host::set_signal_mask(mask);
}

/// A SIGSEGV: whether it was one of ours, and is dealt with. Async-signal-safe.
pub fn on_fault(context: &mut libc::ucontext_t) -> bool {
    let ip = context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    if rewrite::is_trap(ip) {
        return true;
    }
    // A thread made past us (its maker was not caught) came to a rewritten site.
    let is_armed = entry::is_block_load(ip) && thread::adopt() == Ok(()) && arm_thread().is_ok();
    if is_armed {
        // SAFETY: the running handler's own context.
        unsafe { alternate::take_back(context) };
    }
    is_armed
}
