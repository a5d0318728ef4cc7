// SPDX-License-Identifier: GPL-2.0-only
//! Signals of the host.
//!
//! # Safety
//! Masks and directed signals are safe. A change of an action is `unsafe`: the caller answers for the handler.
#![allow(unsafe_code)]

use super::call::{call, plain, try_call};
use super::{process, Errno};

/// Bytes of the kernel's sigset_t.
const SET_BYTES: usize = size_of::<u64>();

/// The bit of a signal in a mask.
pub const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Replaces the calling thread's mask; the mask before.
pub fn set_mask(mask: u64) -> u64 {
    change_mask(libc::SIG_SETMASK, mask)
}

/// Takes signals out of the calling thread's mask; the mask before.
pub fn unblock(signals: u64) -> u64 {
    change_mask(libc::SIG_UNBLOCK, signals)
}

fn change_mask(how: i32, mask: u64) -> u64 {
    let mut old = 0u64;
    let args = [how as usize, &raw const mask as usize, &raw mut old as usize, SET_BYTES, 0, 0];
    // SAFETY: two live words.
    unsafe { call(libc::SYS_rt_sigprocmask, args) };
    old
}

/// The kernel's `struct sigaction` on x86-64.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// SIG_DFL (0), SIG_IGN (1), or the handler's address.
    pub handler: usize,
    /// SA_*, with [`Action::RESTORER`] for a handler.
    pub flags: usize,
    /// What a handler returns to: an rt_sigreturn.
    pub restorer: usize,
    /// Signals that are blocked while the handler runs.
    pub mask: u64,
}

impl Action {
    /// SA_RESTORER: `restorer` is set.
    pub const RESTORER: usize = 0x0400_0000;
}

/// What happens at a signal.
pub fn action(signal: i32) -> Result<Action, Errno> {
    let mut old = Action::default();
    let args = [signal as usize, 0, &raw mut old as usize, SET_BYTES, 0, 0];
    // SAFETY: a live structure; nothing is changed.
    unsafe { try_call(libc::SYS_rt_sigaction, args) }.map(|_| old)
}

/// Sets what happens at a signal. Async-signal-safe.
///
/// # Safety
/// A handler may run at any time from now on, on any thread that does not block the signal.
pub unsafe fn set_action(signal: i32, new: &Action) -> Result<(), Errno> {
    let args = [signal as usize, std::ptr::from_ref(new) as usize, 0, SET_BYTES, 0, 0];
    // SAFETY: the caller's promise.
    unsafe { try_call(libc::SYS_rt_sigaction, args) }.map(drop)
}

/// Sends a signal to one thread of this process.
pub fn send_to_thread(tid: u32, signal: i32) -> Result<(), Errno> {
    let args = [process::pid() as usize, tid as usize, signal as usize, 0, 0, 0];
    plain(libc::SYS_tgkill, args).map(drop)
}

/// What the kernel library says of a signal that it sends: its `struct kernel_siginfo`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    signal: i32,
    errno: i32,
    code: i32,
    /// `si_band`, `si_fd`; the host hands on no more than this
    more: [u64; 2],
    mark: [u64; 2],
}

/// A `siginfo_t` of the host.
#[repr(C)]
struct Info {
    sent: Sent,
    pad: [u64; 10],
}

const _: () = assert!(size_of::<Sent>() == 48 && size_of::<Info>() == 128);

/// <asm-generic/siginfo.h>: a queued SIGIO. With [`MARK`] at its end the true code follows the mark.
const SI_SIGIO: i32 = -5;
/// No program's own.
const MARK: u64 = 0x7377_5f73_6967_696f;

/// Sends a file's signal to a process or, if `tid` is not 0, to a thread. The host lets a thread give a code of the kernel's (POLL_IN, SI_KERNEL)
/// only to itself (rt_sigqueueinfo(2)): for others the code is marked, and [`unmark`] puts it right where the program's handler is called.
pub fn queue(pid: u32, tid: u32, what: &Sent) {
    let (to, own) = (if tid == 0 { pid } else { tid }, process::tid());
    let mut info = Info { sent: *what, pad: [0; 10] };
    if to != own {
        info.sent.mark = [MARK, u64::from(what.code as u32)];
        info.sent.code = SI_SIGIO;
    }
    let info = &raw const info as usize;
    let signal = what.signal as usize;
    let sent = if tid == 0 {
        plain_with(libc::SYS_rt_sigqueueinfo, [pid as usize, signal, info, 0, 0, 0])
    } else {
        plain_with(libc::SYS_rt_tgsigqueueinfo, [pid as usize, tid as usize, signal, info, 0, 0])
    };
    // As send_sigio_to_task() in the kernel's fs/fcntl.c: the queue is full.
    if sent == Err(Errno::EAGAIN) {
        let _ = process::signal(pid, libc::SIGIO);
    }
}

fn plain_with(nr: i64, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller's structure lives.
    unsafe { try_call(nr, args) }
}

/// The code that a file's signal has on Linux, in a `siginfo_t` that the host hands to a handler.
///
/// # Safety
/// The structure is whole.
pub unsafe fn unmark(info: *mut libc::siginfo_t) {
    // SAFETY: the caller's promise; a `siginfo_t` has this size.
    let info = unsafe { &mut *info.cast::<Sent>() };
    if info.code == SI_SIGIO && info.mark[0] == MARK {
        info.code = info.mark[1] as i32;
        info.mark = [0; 2];
    }
}

/// Ends the process by SIGABRT, whatever the application has made of that signal.
pub fn abort() -> ! {
    // SAFETY: the default action runs no code.
    let _ = unsafe { set_action(libc::SIGABRT, &Action::default()) };
    unblock(bit(libc::SIGABRT));
    let _ = send_to_thread(process::tid(), libc::SIGABRT);
    process::exit(128 + libc::SIGABRT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_replaced_and_put_back() {
        let before = set_mask(bit(libc::SIGUSR1) | bit(libc::SIGUSR2));
        assert_eq!(unblock(bit(libc::SIGUSR1)), bit(libc::SIGUSR1) | bit(libc::SIGUSR2));
        assert_eq!(set_mask(before), bit(libc::SIGUSR2));
    }

    #[test]
    fn an_action_is_read_back() {
        let ignore = Action { handler: libc::SIG_IGN, ..Action::default() };
        let before = action(libc::SIGURG).unwrap();
        // SAFETY: no handler.
        unsafe { set_action(libc::SIGURG, &ignore) }.unwrap();
        assert_eq!(action(libc::SIGURG).unwrap().handler, libc::SIG_IGN);
        // SAFETY: as it was.
        unsafe { set_action(libc::SIGURG, &before) }.unwrap();
        assert_eq!(action(0), Err(Errno::EINVAL));
    }
}
