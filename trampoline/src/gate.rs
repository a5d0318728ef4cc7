// SPDX-License-Identifier: GPL-2.0-only
//! The gate: the one page whose `syscall` instructions are never dispatched back to us.
//!
//! Syscall User Dispatch is armed with the page's address range, so that a real call needs no change of the
//! selector. Nothing else may stand in this page: what can jump here can bypass the dispatch.
//!
//! # Safety
//! The assembler (`asm/gate.S`) has the C ABI, and does nothing beside the call. Each caller answers for the call.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::ffi::c_void;

use crate::abi::{ARCH_SET_GS, RED_ZONE};

global_asm!(
    include_str!("asm/gate.S"),
    red_zone = const RED_ZONE,
    stopped = const STOPPED,
    rt_sigreturn = const libc::SYS_rt_sigreturn,
    arch_prctl = const libc::SYS_arch_prctl,
    arch_set_gs = const ARCH_SET_GS,
    munmap = const libc::SYS_munmap,
    exit = const libc::SYS_exit,
);

/// What a child made by [`stowaway_gate_clone`] runs first: its block, and the frame that it was given.
pub(crate) type Started = unsafe extern "C" fn(block: *mut c_void, frame: *mut c_void) -> !;

extern "C" {
    static stowaway_gate_unless_look: u8;
    static stowaway_gate_unless_call: u8;
    static stowaway_gate_unless_stopped: u8;
    static stowaway_gate_start: u8;
    static stowaway_gate_end: u8;
    pub(crate) static stowaway_gate_forward: u8;
    static stowaway_gate_forwarded: u8;
    static stowaway_gate_restorer: u8;
    pub(crate) fn stowaway_gate_int80(regs: *const u32) -> isize;
    pub(crate) fn stowaway_gate_clone(
        nr: i64,
        args: *const usize,
        frame: *mut c_void,
        block: *mut c_void,
        started: Started,
    ) -> isize;
    pub(crate) fn stowaway_gate_exit(base: usize, len: usize, status: usize) -> !;
}

// A handler of the application may run on top of a host call and leave it by unwinding (pthread_exit, a C++
// exception); what is above it are plain frames.
extern "C-unwind" {
    fn stowaway_gate_unless(stop: *const u8, nr: i64, args: *const usize) -> isize;
}

extern "C" {
    fn stowaway_gate(nr: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize;
}

/// What [`gate_unless`] returns for a call that was not made: ERESTARTNOINTR (include/linux/errno.h), which the
/// host never returns.
pub const STOPPED: isize = -513;

/// The gate as a function pointer, for code that is handed its way to the host.
pub const RAW: unsafe extern "C" fn(i64, usize, usize, usize, usize, usize, usize) -> isize = stowaway_gate;

/// A real call of the host kernel: `nr` and `args` as in syscall(2), the result in kernel ABI (-errno).
///
/// # Safety
/// That of the system call itself.
#[inline]
pub unsafe fn gate(nr: i64, args: &[usize; 6]) -> isize {
    // SAFETY: the caller answers for the call; the asm has the C ABI.
    unsafe { stowaway_gate(nr, args[0], args[1], args[2], args[3], args[4], args[5]) }
}

/// A real call as by [`gate`], unless `*stop` is or becomes not 0 before the call takes effect: then [`STOPPED`], and a call that
/// a signal interrupts is not restarted. Whoever sets it, in a signal handler of this thread, then calls
/// [`stop_if_waiting`].
///
/// # Safety
/// That of the system call itself; `stop` is readable.
#[inline]
pub unsafe fn gate_unless(stop: *const u8, nr: i64, args: &[usize; 6]) -> isize {
    // SAFETY: the caller answers for the call; the asm has the C ABI.
    unsafe { stowaway_gate_unless(stop, nr, args.as_ptr()) }
}

/// Where a thread that was interrupted at `ip` has to go on, if it stands between [`gate_unless`]'s look at its
/// flag and the effect of the call.
pub fn stop_if_waiting(ip: usize) -> Option<usize> {
    let (look, call) = (&raw const stowaway_gate_unless_look, &raw const stowaway_gate_unless_call);
    let waits = (look as usize..=call as usize).contains(&ip);
    waits.then_some(&raw const stowaway_gate_unless_stopped as usize)
}

/// Start and length in bytes of the gate's pages.
pub fn range() -> (usize, usize) {
    let start = &raw const stowaway_gate_start as usize;
    let end = &raw const stowaway_gate_end as usize;
    (start, end - start)
}

/// Whether `ip` is in the forwarding of a call, with nothing of ours on the caller's stack but its stub's words.
pub fn is_forward(ip: usize) -> bool {
    (&raw const stowaway_gate_forward as usize..=&raw const stowaway_gate_forwarded as usize).contains(&ip)
}

/// Address for `sa_restorer` of handlers installed past libc.
pub fn restorer_address() -> usize {
    &raw const stowaway_gate_restorer as usize
}
