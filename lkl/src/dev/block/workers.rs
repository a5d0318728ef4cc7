// SPDX-License-Identifier: GPL-2.0-only
//! The engine of threads: a few that take requests from a queue and do them. Made when there is more to
//! do than those that are there can do at once; they stay until the kernel ends.
//!
//! # Safety
//! Requests in the queue are the engine's.
#![allow(unsafe_code)]

use super::queue::{Queue, MAX_WORKERS};
use super::request::{complete, Request};
use super::transfer::perform;
use crate::sys::futex::{self, Lock, Scope};
use crate::sys::helper_thread::HelperThread;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

static QUEUE: Queue = Queue::new();
/// Futex word: changes when there is something new.
static CALLS: AtomicU32 = AtomicU32::new(0);
/// How many workers sleep, or are about to and will look again.
static IDLE: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicU32 = AtomicU32::new(0);

struct Staff {
    count: usize,
    threads: [Option<HelperThread>; MAX_WORKERS],
}

struct StaffCell(Lock, UnsafeCell<Staff>);
// SAFETY: touched with the lock held, and in a child of a fork alone.
unsafe impl Sync for StaffCell {}
static STAFF: StaffCell =
    StaffCell(Lock::new(), UnsafeCell::new(Staff { count: 0, threads: [None; MAX_WORKERS] }));

/// Nobody is hired any more.
static IS_COMPLETE: AtomicBool = AtomicBool::new(false);

/// Two workers at least, and no more later.
pub(crate) fn hire_last() {
    hire();
    hire();
    IS_COMPLETE.store(true, SeqCst);
}

/// False: there is no room, or no thread to be had.
pub(crate) fn submit(r: *mut Request) -> bool {
    // Somebody must be there before the request is in the queue, for it cannot be taken back.
    if QUEUE.len() >= IDLE.load(SeqCst) as usize && !hire() {
        return false;
    }
    if !QUEUE.push(r) {
        return false;
    }
    CALLS.fetch_add(1, SeqCst);
    if IDLE.load(SeqCst) > 0 {
        wake(1);
    }
    true
}

/// Makes one more worker if there may be one; false: there is no worker at all.
fn hire() -> bool {
    // A process that leaves dismisses its staff while its other threads may still drive.
    let _guard = STAFF.0.hold();
    // SAFETY: the lock is held.
    let staff = unsafe { &mut *STAFF.1.get() };
    if staff.count < MAX_WORKERS && !IS_COMPLETE.load(SeqCst) {
        if let Ok(thread) = HelperThread::spawn(c"stowaway-block", work, 0) {
            staff.threads[staff.count] = Some(thread);
            staff.count += 1;
        }
    }
    staff.count > 0
}

fn wake(how_many: u32) {
    futex::wake(&CALLS, how_many, Scope::Private);
}

/// What a worker runs.
extern "C" fn work(_: usize) {
    while let Some(r) = next() {
        // SAFETY: what is in the queue is ours.
        unsafe {
            let result = perform(&mut *r);
            complete(r, result);
        }
    }
}

fn next() -> Option<*mut Request> {
    loop {
        if let Some(r) = QUEUE.pop() {
            return Some(r);
        }
        // submit() pushes, then looks at IDLE; we the other way round
        let calls = CALLS.load(SeqCst);
        IDLE.fetch_add(1, SeqCst);
        let found = QUEUE.pop();
        if found.is_none() && STOP.load(SeqCst) == 0 {
            futex::wait(&CALLS, calls, Scope::Private);
        }
        IDLE.fetch_sub(1, SeqCst);
        if found.is_some() || STOP.load(SeqCst) != 0 {
            return found;
        }
    }
}

/// Ends the threads; what they have taken is done.
pub(crate) fn stop() {
    STOP.store(1, SeqCst);
    CALLS.fetch_add(1, SeqCst);
    wake(MAX_WORKERS as u32);
    dismiss(HelperThread::join);
    STOP.store(0, SeqCst);
}

/// Does what is in the queue on the calling thread. After [`stop`], when nobody submits any more: a worker on its way out may have been
/// counted upon for a request that the worker did not see.
pub(crate) fn finish() {
    while let Some(r) = QUEUE.pop() {
        // SAFETY: what is in the queue is ours.
        unsafe {
            let result = perform(&mut *r);
            complete(r, result);
        }
    }
}

/// In the child of a fork: there are none.
pub(crate) fn reset_in_child() {
    STAFF.0.reset();
    dismiss(HelperThread::forget);
    QUEUE.reset();
    IDLE.store(0, SeqCst);
    STOP.store(0, SeqCst);
}

fn dismiss(how: fn(HelperThread)) {
    let threads = {
        let _guard = STAFF.0.hold();
        // SAFETY: the lock is held.
        let staff = unsafe { &mut *STAFF.1.get() };
        staff.count = 0;
        core::mem::replace(&mut staff.threads, [None; MAX_WORKERS])
    };
    threads.into_iter().flatten().for_each(how);
}
