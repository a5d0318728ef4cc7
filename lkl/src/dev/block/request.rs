// SPDX-License-Identifier: GPL-2.0-only
//! `struct lkl_blk_request` of the overlay's `asm/host.h`, and the way back.
//!
//! # Safety
//! Pointers in a request are the driver's, valid while the request is the host's.
#![allow(unsafe_code)]

use super::device::Device;
use crate::dev::irq;
use crate::sys::futex::{self, Scope};
use crate::sys::Errno;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// `struct lkl_iov`: the same as `struct iovec`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Iov {
    pub(crate) base: usize,
    pub(crate) len: usize,
}

pub(crate) const READ: u32 = 0;
pub(crate) const WRITE: u32 = 1;
pub(crate) const FLUSH: u32 = 2;
pub(crate) const DISCARD: u32 = 3;
pub(crate) const ZERO: u32 = 4;

/// Flags.
pub(crate) const FUA: u32 = 1;
pub(crate) const ALONE: u32 = 4;
pub(crate) const NOW: u32 = 8;

pub(crate) const EIO: i64 = -(libc::EIO as i64);

/// Result of `blk_submit`.
pub(crate) const QUEUED: i64 = 1;

/// A request. The host has it from `submit` to [`complete`].
#[repr(C)]
pub(crate) struct Request {
    pub(crate) next: *mut Request,
    pub(super) done: *const AtomicPtr<Request>,
    /// The number of the device, as given to the kernel.
    pub(super) dev: u64,
    pub(crate) op: u32,
    pub(crate) flags: u32,
    pub(crate) iov: *mut Iov,
    pub(crate) n: u32,
    pub(super) status: i32,
    pub(crate) off: u64,
    pub(crate) len: u64,
    /// The device in this process, from `submit` on.
    pub(super) device: *const Device,
    /// What the submitter of a [`NOW`] request sleeps on.
    pub(super) finished: AtomicU32,
    /// The device's host descriptor, from `submit` on.
    pub(crate) fd: i32,
    /// The member whose process has the request. The driver's, and the link's of a server's disk.
    pub(super) taker: u32,
    pub(super) pad: u32,
}

impl Request {
    pub(crate) fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether the request changes what is on the disk, or makes a change durable.
    pub(crate) fn changes(&self) -> bool {
        self.op != READ
    }

    /// What is left of the vectors.
    pub(crate) fn vectors(&self) -> &[Iov] {
        // SAFETY: the driver's array; it is ours like the request.
        unsafe { std::slice::from_raw_parts(self.iov, self.n as usize) }
    }

    pub(crate) fn vectors_mut(&mut self) -> &mut [Iov] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.iov, self.n as usize) }
    }

    /// Uses up the first `bytes` of the vectors.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        self.off += bytes as u64;
        while self.n > 0 {
            // SAFETY: n vectors are left.
            let first = unsafe { &mut *self.iov };
            if bytes < first.len {
                first.base += bytes;
                first.len -= bytes;
                return;
            }
            bytes -= first.len;
            // SAFETY: as above: at most one behind the last.
            self.iov = unsafe { self.iov.add(1) };
            self.n -= 1;
        }
    }
}

impl Request {
    /// Before a [`NOW`] request is given to another thread.
    pub(crate) fn will_wait(&self) {
        self.finished.store(0, Ordering::Relaxed);
    }

    /// Sleeps until another thread has completed it.
    ///
    /// # Safety
    /// The request is a [`NOW`] request that an engine has, or has completed.
    pub(crate) unsafe fn wait(request: *const Request) -> i64 {
        // SAFETY: the caller's promise. Another thread writes the status, and nobody refers to all of the request.
        unsafe {
            let finished = &(*request).finished;
            while finished.load(Ordering::Acquire) == 0 {
                futex::wait(finished, 0, Scope::Shared);
            }
            i64::from((*request).status)
        }
    }
}

/// Gives a queued request back, with its result. Not by a thread that is in kernel code.
///
/// # Safety
/// The request is the caller's. The caller does not touch it afterwards.
pub(crate) unsafe fn complete(request: *mut Request, status: i64) {
    // SAFETY: the caller's promise. A waiting submitter refers to `finished` meanwhile, and to nothing else.
    unsafe {
        note_error(&*request, status);
        (*request).status = status as i32;
        if (*request).is(NOW) {
            // It may be gone as soon as it is finished.
            let finished = &raw const (*request).finished;
            (*finished).store(1, Ordering::Release);
            return futex::wake(finished, 1, Scope::Shared);
        }
        // The driver's list is there for ever.
        let done = &*(*request).done;
        let mut head = done.load(Ordering::Relaxed);
        loop {
            (*request).next = head;
            match done.compare_exchange_weak(head, request, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // The thread that found the list empty raises the interrupt for all requests until the list is taken.
        if head.is_null() {
            irq::raise_irq(irq::BLOCK);
        }
    }
}

/// The first failure of a write or flush: descriptor in the upper half, errno in the lower; 0: none.
static WRITE_ERROR: AtomicU64 = AtomicU64::new(0);

/// Remembers what write-back loses.
pub(crate) fn note_error(r: &Request, status: i64) {
    if status < 0 && matches!(r.op, WRITE | FLUSH) {
        let what = (r.fd as u64) << 32 | -status as u64;
        let _ = WRITE_ERROR.compare_exchange(0, what, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// See [`crate::Kernel::take_write_error`].
pub(crate) fn take_write_error() -> Option<(i32, Errno)> {
    let what = WRITE_ERROR.swap(0, Ordering::Relaxed);
    (what != 0).then_some(((what >> 32) as i32, Errno::new(what as u32 as i32)))
}

/// Bytes moved (0 after EINTR: again), or -errno; nothing at all means that the file ends early.
pub(crate) fn moved(result: isize) -> Result<usize, i64> {
    const EINTR: isize = -(libc::EINTR as isize);
    match result {
        EINTR => Ok(0),
        0 => Err(EIO),
        r if r < 0 => Err(r as i64),
        r => Ok(r as usize),
    }
}
