// SPDX-License-Identifier: GPL-2.0-only
//! The engine of io_uring: one thread of ours that submits and reaps.
//!
//! The ring is that thread's alone, for io_uring binds a request to the task that submits it. The host would interrupt an
//! application's thread to go on with its request: the thread's epoll_wait would fail with EINTR. The host would also
//! cancel the request if the thread ended. So the holder of the virtual CPU only queues a request. It wakes the ring's
//! thread by an eventfd, on which the ring has a read.
//!
//! # Safety
//! Requests in the queue and in the ring are the engine's.
#![allow(unsafe_code)]

use super::device::Kind;
use super::queue::Queue;
use super::request::{complete, moved, Request, DISCARD, FLUSH, FUA, READ, WRITE};
use super::ring::{Entry, Ring};
use super::transfer::perform;
use crate::sys::futex::{self, Scope};
use crate::sys::helper_thread::HelperThread;
use crate::sys::{file, Errno};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};

/// In flight at once; a ring of completions has twice as many places.
const DEPTH: u32 = 128;
/// The entry that reads the eventfd.
const WAKE_UP: u64 = 0;

static QUEUE: Queue = Queue::new();
/// The thread sleeps, or is about to and will look again.
static SLEEPS: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicU32 = AtomicU32::new(0);
static WAKE_FD: AtomicI32 = AtomicI32::new(-1);
static RING_FD: AtomicI32 = AtomicI32::new(-1);
/// Futex word: [`STARTING`], [`READY`], or [`FAILED`] and an errno.
static STATE: AtomicU32 = AtomicU32::new(STARTING);
const STARTING: u32 = 0;
const READY: u32 = 1;
const FAILED: u32 = 1 << 16;
/// The lowest number for our descriptors.
static AT_FD: AtomicI32 = AtomicI32::new(0);

struct ThreadCell(UnsafeCell<Option<HelperThread>>);
// SAFETY: touched by start, stop and reset_in_child, which nobody calls at the same time.
unsafe impl Sync for ThreadCell {}
static THREAD: ThreadCell = ThreadCell(UnsafeCell::new(None));

/// Makes ring and thread; returns their descriptors. Not in kernel code.
pub(crate) fn start(at_fd: i32) -> Result<[i32; 2], Errno> {
    STATE.store(STARTING, SeqCst);
    AT_FD.store(at_fd, SeqCst);
    let wake_fd = file::eventfd()?.move_up(at_fd)?.into_raw();
    WAKE_FD.store(wake_fd, SeqCst);
    let thread = HelperThread::spawn(c"stowaway-uring", run, 0).inspect_err(|_| close_all())?;
    while STATE.load(SeqCst) == STARTING {
        futex::wait(&STATE, STARTING, Scope::Private);
    }
    let state = STATE.load(SeqCst);
    if state & FAILED != 0 {
        thread.join();
        close_all();
        return Err(Errno::new((state & !FAILED) as i32));
    }
    // SAFETY: see ThreadCell.
    unsafe { *THREAD.0.get() = Some(thread) };
    Ok([wake_fd, RING_FD.load(SeqCst)])
}

/// Closes the eventfd. The ring's descriptor goes with the ring, at the end of its thread.
fn close_all() {
    RING_FD.store(-1, SeqCst);
    let wake_fd = WAKE_FD.swap(-1, SeqCst);
    if wake_fd >= 0 {
        file::close(wake_fd);
    }
}

/// False: there is no ring, or no room.
pub(crate) fn submit(r: *mut Request) -> bool {
    if STATE.load(SeqCst) != READY || !QUEUE.push(r) {
        return false;
    }
    wake();
    true
}

fn wake() {
    if SLEEPS.swap(0, SeqCst) != 0 {
        let _ = file::write(WAKE_FD.load(SeqCst), &1u64.to_ne_bytes());
    }
}

/// Ends the thread; nothing is in flight.
pub(crate) fn stop() {
    // SAFETY: see ThreadCell.
    if let Some(thread) = unsafe { (*THREAD.0.get()).take() } {
        STOP.store(1, SeqCst);
        SLEEPS.store(1, SeqCst);
        wake();
        thread.join();
        STOP.store(0, SeqCst);
        STATE.store(STARTING, SeqCst);
        close_all();
    }
}

/// In the child of a fork: the ring is the parent's. (The mappings of a ring are not copied.)
pub(crate) fn reset_in_child() {
    // SAFETY: see ThreadCell; and the child has one thread.
    if let Some(thread) = unsafe { (*THREAD.0.get()).take() } {
        thread.forget();
        // The thread, whose ring it was, is not here to close it.
        file::close(RING_FD.load(SeqCst));
        close_all();
    }
    QUEUE.reset();
    for word in [&SLEEPS, &STOP] {
        word.store(0, SeqCst);
    }
    STATE.store(STARTING, SeqCst);
}

/// What the ring's thread runs.
extern "C" fn run(_: usize) {
    let mut ring = match Ring::make(DEPTH, AT_FD.load(SeqCst)) {
        Ok(ring) => {
            RING_FD.store(ring.fd(), SeqCst);
            say(READY);
            ring
        }
        Err(e) => return say(FAILED | e.into_raw() as u32),
    };
    let mut woken = 0u64;
    let mut in_flight = 0;
    listen(&mut ring, &mut woken);
    while STOP.load(SeqCst) == 0 {
        let mut idle = true;
        while in_flight < DEPTH - 1 {
            let Some(r) = QUEUE.pop() else { break };
            idle = false;
            in_flight += u32::from(begin(&mut ring, r));
        }
        while let Some((what, result)) = ring.reap() {
            idle = false;
            if what == WAKE_UP {
                listen(&mut ring, &mut woken);
            } else {
                in_flight -= 1;
                // SAFETY: the address that begin() gave to the ring.
                unsafe { end(what as *mut Request, result) };
            }
        }
        if idle {
            // submit() pushes, then looks at SLEEPS; we the other way round
            SLEEPS.store(1, SeqCst);
            idle = QUEUE.len() == 0 || in_flight >= DEPTH - 1;
        }
        ring.enter(u32::from(idle));
        SLEEPS.store(0, SeqCst);
    }
}

fn say(state: u32) {
    STATE.store(state, SeqCst);
    futex::wake(&STATE, 1, Scope::Private);
}

fn listen(ring: &mut Ring, to: &mut u64) {
    let (fd, addr) = (WAKE_FD.load(SeqCst), std::ptr::from_mut(to) as u64);
    let entry = Entry { op: Entry::READ, fd, addr, len: 8, what: WAKE_UP, ..Entry::default() };
    // SAFETY: `to` lies in the frame of run(), which is left only when the ring is closed.
    unsafe { ring.push(entry) };
}

/// Gives a request to the ring; false: the request is done already.
fn begin(ring: &mut Ring, request: *mut Request) -> bool {
    // SAFETY: what is in the queue is ours.
    let r = unsafe { &mut *request };
    let d = r.device();
    let mut entry = Entry { fd: d.fd, off: r.off, what: request as u64, ..Entry::default() };
    match r.op {
        READ | WRITE => {
            entry.op = if r.op == READ { Entry::READV } else { Entry::WRITEV };
            entry.flags = if r.is(FUA) { libc::RWF_DSYNC as u32 } else { 0 };
            (entry.addr, entry.len) = (r.iov as u64, r.n);
        }
        FLUSH => (entry.op, entry.off, entry.flags) = (Entry::FSYNC, 0, Entry::DATASYNC),
        DISCARD if d.kind == Kind::File => {
            entry.op = Entry::FALLOCATE;
            (entry.addr, entry.len) =
                (r.len, (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE) as u32);
        }
        _ => {
            // SAFETY: ours, and not used afterwards.
            unsafe { complete(request, perform(r)) };
            return false;
        }
    }
    // SAFETY: the request's memory is ours until it is completed.
    unsafe { ring.push(entry) };
    true
}

/// # Safety
/// The ring is done with the request, which is not used afterwards.
unsafe fn end(request: *mut Request, result: i32) {
    // SAFETY: the caller's promise.
    let r = unsafe { &mut *request };
    let status = match (r.op, result) {
        // whatever the ring or the file system does not know of; perform() does, or says so
        (_, e) if e == -libc::EOPNOTSUPP || e == -libc::EINVAL || e == -libc::EAGAIN => perform(r),
        (_, e) if e == -libc::ECANCELED || e == -libc::EINTR => perform(r),
        (READ | WRITE, n) => match moved(n as isize) {
            Ok(bytes) => {
                r.advance(bytes);
                if r.n > 0 {
                    perform(r)
                } else {
                    0
                }
            }
            Err(e) => e,
        },
        (_, status) => i64::from(status),
    };
    // SAFETY: the caller's promise.
    unsafe { complete(request, status) };
}
