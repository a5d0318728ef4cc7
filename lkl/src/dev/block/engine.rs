// SPDX-License-Identifier: GPL-2.0-only
//! The choice of an engine for each request.
//!
//! # Safety
//! The driver's promises: a request is the host's from `submit` to its completion, and a device is there until `gone`.
#![allow(unsafe_code)]

use super::device::{self, Device};
use super::nbd::Link;
use super::request::{note_error, Request, ALONE, EIO, FUA, NOW, QUEUED, WRITE};
use super::transfer::{attempt, perform};
use super::{bounce, past_limit, uring, workers};
use crate::sys::Errno;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How requests to image files and block devices are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Engine {
    /// At once if that needs no waiting, or if nobody else wants the virtual CPU; else by a thread.
    Auto,
    /// On the calling thread, which holds the virtual CPU meanwhile.
    Inline,
    /// All by threads of ours.
    Threads,
    /// All by io_uring; by threads where the host refuses it.
    IoUring,
}

static ENGINE: AtomicU8 = AtomicU8::new(Engine::Auto as u8);

/// Threads of the program may not read and write images.
static IS_FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// From now on every request is done by workers, of which there are enough: the program's filter forbids its threads to read and to
/// write images, and to make threads.
pub(crate) fn leave_to_workers() {
    workers::hire_last();
    IS_FORBIDDEN.store(true, Ordering::SeqCst);
}

/// See [`crate::Kernel::set_block_engine`].
pub(crate) fn set_engine(engine: Engine, at_fd: i32) -> Result<[i32; 2], Errno> {
    ENGINE.store(engine as u8, Ordering::Relaxed);
    match engine {
        Engine::IoUring => uring::start(at_fd),
        _ => Ok([-1; 2]),
    }
}

/// A write of so much is a copy into the host's cache: cheaper than to wake a thread for it. (It does wait where the host
/// holds back a writer that dirties too much; such writers write more at once.)
const COPY_BYTES: u64 = 64 << 10;
/// A transfer of so much is done on the calling thread, if it needs no waiting or no other thread wants the CPU. More is better done beside the reader. (A read
/// that must not wait is no cheap look: what it does not find it begins to fetch.)
const HERE_BYTES: u64 = 128 << 10;

const AUTO: u8 = Engine::Auto as u8;
const INLINE: u8 = Engine::Inline as u8;
const URING: u8 = Engine::IoUring as u8;

/// `ops.blk_submit`
pub(crate) unsafe extern "C" fn submit(request: *mut Request) -> i64 {
    // SAFETY: the driver gives it to us; a queued request is not touched here any more.
    unsafe {
        let r = &mut *request;
        let Some(device) = Device::find(r.dev) else {
            note_error(r, EIO);
            return EIO;
        };
        r.device = device;
        r.fd = device.fd;
        r.off += device.start;
        let result = match device.link() {
            Some(link) => over_link(link, request),
            None if r.changes() && !device.is_itself() => EIO,
            None => begin(request),
        };
        if result != QUEUED {
            note_error(&*request, result);
        }
        result
    }
}

/// # Safety
/// The request is the host's. After the result [`QUEUED`] the request is another thread's.
unsafe fn begin(request: *mut Request) -> i64 {
    if IS_FORBIDDEN.load(Ordering::Relaxed) {
        // SAFETY: ours until a worker has it; a request that is waited for is there until its wait ends.
        return unsafe {
            (*request).will_wait();
            let is_now = (*request).is(NOW);
            match workers::submit(request) {
                // The child of a fork has no workers.
                false => perform(&mut *request),
                true if is_now => Request::wait(request),
                true => QUEUED,
            }
        };
    }
    let engine = ENGINE.load(Ordering::Relaxed);
    // SAFETY: the caller's promise; the reference ends before the request is queued.
    if let Some(result) = on_this_thread(unsafe { &mut *request }, engine) {
        return result;
    }
    if (engine == URING && uring::submit(request)) || workers::submit(request) {
        return QUEUED;
    }
    // SAFETY: no engine took it.
    perform(unsafe { &mut *request })
}

/// Does the request if it is to be done here; None: an engine is to do what is left.
fn on_this_thread(r: &mut Request, engine: u8) -> Option<i64> {
    // The ring would write under the program's file size limit.
    if engine == INLINE || r.is(NOW) || (engine == URING && past_limit::is_past_limit(r)) {
        return Some(perform(r));
    }
    if engine == AUTO {
        if r.op == WRITE && !r.is(FUA) && r.len <= COPY_BYTES {
            return Some(perform(r));
        }
        if r.len <= HERE_BYTES {
            return if r.is(ALONE) { Some(perform(r)) } else { attempt(r) };
        }
    }
    None
}

/// # Safety
/// As for [`begin`].
unsafe fn over_link(link: &Link, request: *mut Request) -> i64 {
    // SAFETY: ours until the link has it; a request that is waited for is there until its wait ends.
    unsafe {
        (*request).will_wait();
        let is_now = (*request).is(NOW);
        match link.submit(request) {
            false => EIO,
            true if is_now => Request::wait(request),
            true => QUEUED,
        }
    }
}

/// `ops.blk_gone`
pub(crate) unsafe extern "C" fn gone(device: u64) {
    device::gone(device);
}

/// Ends the threads of all engines and connections: the kernel has ended, and nothing is in flight.
pub(crate) fn stop() {
    Device::reap();
    Device::each_link(|link| {
        link.stop();
    });
    workers::stop();
    uring::stop();
}

/// The process is about to leave the instance, for good: what its threads have taken is done, and what it still submits as a
/// driver is done at once. A thread that ends with the process would take a request with it.
pub(crate) fn begin_to_leave() {
    ENGINE.store(INLINE, Ordering::SeqCst);
    workers::stop();
}

/// The process leaves the instance, and others go on with it: what its threads have taken is done first. No thread of the
/// process drives any more.
pub(crate) fn leave() {
    workers::stop();
    workers::finish();
}

/// In the keeper: the instance's images are open here, so that whoever is refused an image can be told by whom.
pub(crate) fn follow_store() {
    Device::follow_store();
}

/// The keeper has left: the images are not open here any more.
pub(crate) fn close_copies() {
    Device::close_copies();
}

/// In the child of a fork that goes on with its parent's kernel: the threads that do the parent's I/O are not here.
pub(crate) fn reset_threads_in_child() {
    bounce::reset_in_child();
    workers::reset_in_child();
}

/// Whether a child of fork could do the I/O of all disks: it finds them in the store. Rings are one process's, and connections that
/// no keeper has.
pub(crate) fn can_be_shared() -> bool {
    device::store().is_some() && ENGINE.load(Ordering::Relaxed) != URING && !Device::any_alone()
}

/// In the child of a fork, before it makes a call: the threads that do the parent's I/O are not here, and nothing
/// else of it may be used.
pub fn reset_in_child() {
    Device::reset_in_child();
    bounce::end();
    workers::reset_in_child();
    uring::reset_in_child();
}
