// SPDX-License-Identifier: GPL-2.0-only
//! Signal calls of the host, with sets of signals as words: bit N-1 is signal N.
#![allow(unsafe_code)]

use core::ffi::c_int;

use trampoline::KernelSigaction;

use crate::sys::errno::Result;
use crate::sys::host;

/// Bytes in a set of signals.
pub const SET_BYTES: usize = 8;

/// The set that has only `sig`.
pub const fn bit(sig: c_int) -> u64 {
    1 << (sig - 1)
}

/// Faults in copies from bad pointers, and dispatched calls.
pub const FAULTS_WE_NEED: u64 = bit(libc::SIGSYS) | bit(libc::SIGSEGV) | bit(libc::SIGBUS);

/// Signals that are let through even while all others wait: a thread cannot go on without their handlers.
pub const FAULTS: u64 = FAULTS_WE_NEED | bit(libc::SIGILL) | bit(libc::SIGFPE) | bit(libc::SIGTRAP);

fn change_mask(how: c_int, set: u64) -> u64 {
    let mut old = 0u64;
    let args = [how as usize, &raw const set as usize, &raw mut old as usize, SET_BYTES];
    // SAFETY: reads one set and fills the other; the mask of the calling thread is its own.
    let _ = unsafe { host::call(libc::SYS_rt_sigprocmask, &args) };
    old
}

/// Replaces the calling thread's signal mask and returns the old one.
pub fn set_mask(mask: u64) -> u64 {
    change_mask(libc::SIG_SETMASK, mask)
}

/// The calling thread's signal mask.
pub fn mask() -> u64 {
    change_mask(libc::SIG_BLOCK, 0)
}

/// Adds to the calling thread's mask.
pub fn block(set: u64) {
    change_mask(libc::SIG_BLOCK, set);
}

/// Takes out of the calling thread's mask.
pub fn unblock(set: u64) {
    change_mask(libc::SIG_UNBLOCK, set);
}

/// The action that the host has for a signal.
pub fn action(sig: c_int) -> KernelSigaction {
    let mut now = KernelSigaction::default();
    // SAFETY: fills the structure.
    let _ =
        unsafe { host::call(libc::SYS_rt_sigaction, &[sig as usize, 0, &raw mut now as usize, SET_BYTES]) };
    now
}

/// Gives the host an action for a signal.
///
/// # Safety
/// The handler keeps to the rules of the place that the signal interrupts.
pub unsafe fn set_action(sig: c_int, action: &KernelSigaction) -> Result<()> {
    let args = [sig as usize, core::ptr::from_ref(action) as usize, 0, SET_BYTES];
    // SAFETY: the caller's promise.
    unsafe { host::call(libc::SYS_rt_sigaction, &args) }.map(drop)
}

/// Sends a signal to a thread of this process.
pub fn send_to_thread(tid: usize, sig: c_int) {
    // SAFETY: what a signal does is the action's business.
    let _ = unsafe { host::call(libc::SYS_tgkill, &[host::pid(), tid, sig as usize]) };
}

/// Sends a signal to the calling thread, as the kernel does for a write to a broken pipe.
pub fn raise(sig: c_int) {
    send_to_thread(host::ids().1, sig);
}

/// Sends a signal to this process.
pub fn send_to_process(sig: c_int) {
    // SAFETY: as above.
    let _ = unsafe { host::call(libc::SYS_kill, &[host::pid(), sig as usize]) };
}

/// Sends a signal with a siginfo to a thread of this process. `info` is the address of a whole `siginfo_t`.
pub fn queue_to_thread(tid: usize, sig: c_int, info: usize) {
    // SAFETY: the host reads the structure, and says EFAULT where there is none.
    let _ = unsafe { host::call(libc::SYS_rt_tgsigqueueinfo, &[host::pid(), tid, sig as usize, info]) };
}
