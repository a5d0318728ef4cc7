// SPDX-License-Identifier: GPL-2.0-only
//! Calls of the real kernel, through the gate.
//!
//! Rule of the place: everything the shim itself asks of the host goes through here, never through a libc
//! name: libc's names are our own hooks, and its `syscall` instructions come back as SIGSYS.
#![allow(unsafe_code)]

use trampoline::gate::{gate, gate_unless};

use crate::observe;

/// Result of a system call in kernel ABI: a value, or -errno.
pub type Ret = isize;

/// The six arguments of a system call.
pub type Args = [usize; 6];

/// Forwards a call of the application as it is. A cancelled thread makes none (see `cancel.rs`): STOPPED.
#[inline]
pub fn forward(nr: usize, args: &Args) -> Ret {
    if observe::is_on() {
        observe::went_to(observe::Route::Host);
    }
    // SAFETY: the call is the application's own; what it does to the application is its business.
    unsafe { gate_unless(crate::signals::cancel::stop_flag(), nr as i64, args) }
}

/// A call of our own.
#[inline]
pub fn call(nr: i64, args: &[usize]) -> Ret {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    // SAFETY: callers in this crate pass live buffers with their sizes.
    unsafe { gate(nr, &all) }
}

/// Closes a host descriptor; errors mean it was not open and do not matter.
pub fn close(fd: i32) {
    call(libc::SYS_close, &[fd as usize]);
}

/// Writes all of `bytes` to host descriptor `fd`, as far as it takes them.
pub fn write_all(fd: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let n = call(libc::SYS_write, &[fd as usize, bytes.as_ptr() as usize, bytes.len()]);
        if n == -(libc::EINTR as isize) {
            continue;
        }
        if n <= 0 {
            return;
        }
        bytes = &bytes[n as usize..];
    }
}

/// Anonymous private memory of `len` bytes, zeroed; the address or -errno.
pub fn map(len: usize) -> Ret {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    call(libc::SYS_mmap, &[0, len, prot as usize, flags as usize, usize::MAX, 0])
}

/// Gives back memory of [`map`].
pub fn unmap(address: usize, len: usize) {
    call(libc::SYS_munmap, &[address, len]);
}

/// Process and thread ids of the caller.
pub fn ids() -> (usize, usize) {
    (call(libc::SYS_getpid, &[]) as usize, call(libc::SYS_gettid, &[]) as usize)
}

/// Replaces the calling thread's signal mask and returns the old one.
pub fn set_sigmask(mask: u64) -> u64 {
    let mut old = 0u64;
    call(
        libc::SYS_rt_sigprocmask,
        &[libc::SIG_SETMASK as usize, &raw const mask as usize, &raw mut old as usize, 8],
    );
    old
}
