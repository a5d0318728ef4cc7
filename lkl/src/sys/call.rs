// SPDX-License-Identifier: GPL-2.0-only
//! The one way to the host: a function that the process sets, and the raw call through this function.
//!
//! # Safety
//! A raw system call can do anything to the process, so [`call`] is `unsafe`. The other files of this room wrap
//! [`call`] in typed functions.
#![allow(unsafe_code)]

use super::Errno;
use std::mem::transmute;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A host call in kernel ABI: number and six arguments in, result or -errno out.
///
/// The function must shuffle registers, execute `syscall` and return. The function must touch no memory but its last
/// argument and its return address. The reason is a `clone` with a new stack: the child returns to the address at the top
/// of that stack.
pub type RawSyscall =
    unsafe extern "C" fn(nr: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize;

std::arch::global_asm!(include_str!("call.S"));

extern "C" {
    fn stowaway_lkl_plain_syscall(
        nr: i64,
        a: usize,
        b: usize,
        c: usize,
        d: usize,
        e: usize,
        f: usize,
    ) -> isize;
}

/// The function that [`set_gate`] stored; null: the `syscall` instruction of this library.
static GATE: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Sets the function that every host call of this process goes through. A process in which `syscall` instructions
/// trap calls [`set_gate`] before anything else of this crate. Without a gate, this library's own `syscall`
/// instruction is used.
pub fn set_gate(gate: RawSyscall) {
    GATE.store(gate as *mut (), Ordering::Release);
}

/// The function that host calls go through.
#[inline]
pub fn gate() -> RawSyscall {
    let gate = GATE.load(Ordering::Relaxed);
    if gate.is_null() {
        return stowaway_lkl_plain_syscall;
    }
    // SAFETY: only set_gate() stores here, and only functions of this type.
    unsafe { transmute::<*mut (), RawSyscall>(gate) }
}

/// A host call: its result, or -errno.
///
/// # Safety
/// The caller answers for what the call does to this process. Pointers among the arguments are valid for the call.
#[inline]
pub unsafe fn call(nr: i64, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the caller's promise.
    unsafe { gate()(nr, a, b, c, d, e, f) }
}

/// A host call whose -errno becomes an [`Errno`].
///
/// # Safety
/// As for [`call`].
#[inline]
pub unsafe fn try_call(nr: i64, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    crate::sys::check(unsafe { call(nr, args) })
}

/// A host call without pointers that can do no harm to this process's memory.
pub(super) fn plain(nr: i64, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: callers in this room use calls that neither map, unmap nor write memory.
    unsafe { try_call(nr, args) }
}
