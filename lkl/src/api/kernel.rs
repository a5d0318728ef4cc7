// SPDX-License-Identifier: GPL-2.0-only
//! What a process does with its kernel: calls, threads, shutdown.
//!
//! # Safety
//! A call enters the kernel on the calling thread: see [`Kernel::call`].
#![allow(unsafe_code)]

use super::private::Private;
use super::task::Task;
use crate::attach::Kernel;
use crate::cpu;
use crate::dev::block;
use crate::sys::{Errno, PAGE};

/// `struct lkl_creds`
#[repr(C)]
pub(super) struct Creds {
    pub(super) uid: [u32; 4],
    pub(super) gid: [u32; 4],
    pub(super) ngroups: usize,
    pub(super) groups: *const u32,
    pub(super) permitted: u64,
    pub(super) effective: u64,
    pub(super) securebits: u32,
}

/// Who a thread is to the kernel (credentials(7), capabilities(7)).
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// Real, effective, saved and file system user id.
    pub uid: [u32; 4],
    /// Real, effective, saved and file system group id.
    pub gid: [u32; 4],
    /// Supplementary groups.
    pub groups: &'a [u32],
    /// The permitted set of capabilities: bit N is capability N.
    pub permitted: u64,
    /// The effective set.
    pub effective: u64,
    /// PR_GET_SECUREBITS
    pub securebits: u32,
}

impl Kernel {
    /// A call in kernel ABI: x86-64's numbers, or [`Private`].  -errno, and raw -ERESTART*
    /// (-512..=-516) when [`Kernel::interrupt`] ended a wait.  `want_fd >= 0`: a descriptor the
    /// call allocates gets this number if it is free.
    ///
    /// # Safety
    /// `t` belongs to the calling thread and is not in use further up its stack (a signal handler
    /// must not call on top of a call).  The arguments are the application's: bad pointers end as
    /// EFAULT if the SIGSEGV handler uses [`Kernel::fault_fixup`].
    #[inline]
    pub unsafe fn call(&self, t: *mut Task, nr: i64, args: &[usize; 6], want_fd: i32) -> isize {
        // SAFETY: the caller's promise.
        unsafe { cpu::call(self.words, Task::slot(t), nr, args, want_fd) }
    }

    /// Ends the interruptible wait of the call that `t`'s thread is in, now or as soon as it
    /// waits.  Does nothing lasting if there is none.
    ///
    /// # Safety
    /// Called on `t`'s own thread (from a signal handler); `t` is not released.
    pub unsafe fn interrupt(&self, t: *mut Task) {
        // SAFETY: the caller's promise.
        unsafe { cpu::interrupt(self.words, Task::slot(t)) }
    }

    /// The host descriptor of the kernel's memory, which `copy` is to give another number (or -errno: it stays).
    pub fn move_memory_fd(&self, copy: impl FnOnce(i32) -> i32) {
        let to = copy(self.region.fd());
        if to >= 0 {
            self.region.move_fd(to);
            block::bounce::move_fd(to);
        }
    }

    /// The first error of a write to a disk or of its flush since the last time this was asked, with the
    /// disk's host descriptor. What a kernel cannot report to anybody (write-back after the last close) would
    /// be lost silently otherwise.
    pub fn take_write_error(&self) -> Option<(i32, Errno)> {
        block::take_write_error()
    }

    /// Ends the kernel task of a thread that makes no more calls, and frees its memory.
    ///
    /// # Safety
    /// `t` is not used afterwards, nor by a call under way.
    pub unsafe fn release(&self, t: *mut Task) {
        // SAFETY: the caller's promise.
        unsafe { cpu::thread_exit(self.words, Task::slot(t)) };
    }

    /// A private call of this crate itself.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub(crate) unsafe fn private(&self, t: *mut Task, nr: Private, args: [usize; 6]) -> Result<usize, Errno> {
        // SAFETY: the caller's promise.
        crate::sys::check(unsafe { self.call(t, nr as i64, &args, -1) })
    }

    /// Brings lo up, with 127.0.0.1 and ::1.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn loopback_up(&self, t: *mut Task) -> Result<(), Errno> {
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        unsafe { self.private(t, Private::LoopbackUp, [0; 6]) }.map(drop)
    }

    /// Sets the credentials of `t`, and those that tasks made afterwards begin with.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn set_credentials(&self, t: *mut Task, who: &Credentials<'_>) -> Result<(), Errno> {
        let creds = Creds {
            uid: who.uid,
            gid: who.gid,
            ngroups: who.groups.len(),
            groups: who.groups.as_ptr(),
            permitted: who.permitted,
            effective: who.effective,
            securebits: who.securebits,
        };
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        unsafe { self.private(t, Private::SetCreds, [&raw const creds as usize, 0, 0, 0, 0, 0]) }.map(drop)
    }

    /// Gives memory back to the host: what of the page cache is clean, and all that is free. How many bytes went.
    /// (Without being asked, free memory goes back after some seconds, and clean pages when the host is short of memory.)
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn release_memory(&self, t: *mut Task) -> Result<usize, Errno> {
        // SAFETY: the caller answers for the task.
        unsafe { self.private(t, Private::ReleaseMemory, [0; 6]) }.map(|pages| pages * PAGE)
    }

    /// Closes, syncs and unmounts everything.  Other threads' calls end; every later one is
    /// -ENODEV.  The first failure is returned, what can be done is done anyway; a write that the
    /// host refused at any time (ENOSPC, EIO) is one.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn shutdown(&self, t: *mut Task) -> Result<(), Errno> {
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        let ended = unsafe { self.private(t, Private::Shutdown, [0; 6]) }.map(drop);
        if ended != Err(Errno::ENODEV) {
            block::stop();
        }
        ended
    }
}
