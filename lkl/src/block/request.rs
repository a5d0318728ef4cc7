// SPDX-License-Identifier: GPL-2.0-only
//! `struct lkl_blk_request` of the overlay's `asm/host.h`, and the way back.

use super::device::Device;
use crate::bell;
use crate::sys::host;
use crate::Errno;
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

/// Result of `blk_submit`.
pub(crate) const QUEUED: i64 = 1;

/// A request. It is ours from `submit` to [`complete`].
#[repr(C)]
pub(crate) struct Request {
    pub(crate) next: *mut Request,
    done: *const AtomicPtr<Request>,
    dev: *const Device,
    pub(crate) op: u32,
    pub(crate) flags: u32,
    pub(crate) iov: *mut Iov,
    pub(crate) n: u32,
    status: i32,
    pub(crate) off: u64,
    pub(crate) len: u64,
    /// What the submitter of a [`NOW`] request sleeps on.
    finished: AtomicU32,
}

impl Request {
    pub(crate) fn device(&self) -> &'static Device {
        // SAFETY: the device outlives its requests: the driver says when it has none any more.
        unsafe { &*self.dev }
    }

    pub(crate) fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
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
    pub(crate) fn wait(&self) -> i64 {
        while self.finished.load(Ordering::Acquire) == 0 {
            let op = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
            host(libc::SYS_futex, [self.finished.as_ptr() as usize, op, 0, 0, 0, 0]);
        }
        i64::from(self.status)
    }
}

/// Gives a queued request back, with its result. Not by a thread that is in kernel code.
///
/// # Safety
/// The request is the caller's, who does not touch it afterwards.
pub(crate) unsafe fn complete(request: *mut Request, status: i64) {
    // SAFETY: the caller's promise.
    let r = unsafe { &mut *request };
    note_error(r, status);
    r.status = status as i32;
    if r.is(NOW) {
        r.finished.store(1, Ordering::Release);
        let op = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
        host(libc::SYS_futex, [r.finished.as_ptr() as usize, op, 1, 0, 0, 0]);
        return;
    }
    // SAFETY: the driver's list, which is there for ever.
    let done = unsafe { &*r.done };
    let mut head = done.load(Ordering::Relaxed);
    loop {
        r.next = head;
        match done.compare_exchange_weak(head, request, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => break,
            Err(now) => head = now,
        }
    }
    // Who found the list empty rings for all that come before it is taken.
    if head.is_null() {
        bell::ring(bell::BLOCK);
    }
}

/// The first failure of a write or flush: descriptor in the upper half, errno in the lower; 0: none.
static WRITE_ERROR: AtomicU64 = AtomicU64::new(0);

/// Remembers what write-back loses.
pub(crate) fn note_error(r: &Request, status: i64) {
    if status < 0 && matches!(r.op, WRITE | FLUSH) {
        let what = (r.device().fd as u64) << 32 | -status as u64;
        let _ = WRITE_ERROR.compare_exchange(0, what, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// See [`crate::Kernel::take_write_error`].
pub(crate) fn take_write_error() -> Option<(i32, Errno)> {
    let what = WRITE_ERROR.swap(0, Ordering::Relaxed);
    (what != 0).then_some(((what >> 32) as i32, Errno(what as u32 as i32)))
}
