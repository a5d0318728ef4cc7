// SPDX-License-Identifier: GPL-2.0-only
//! Memory of another member's process that is to be out of its reach: the kernel takes a page away that the process has mapped
//! (`overlay/arch/lkl/mm/areas.h`).
//!
//! Each process that has such pages while others use the kernel has a thread for this. The asking thread holds the virtual
//! CPU, so there is one request at a time. `MemberRow::hide` says how far the request is. A process that does not answer (it is
//! stopped) has not taken the request, and keeps what it has.
//!
//! # Safety
//! The kernel names parts of the memory that the process has reserved for a mapping of a file, while nothing else can be put
//! there. The thread's handle is touched with the lock held, or by the only thread of a process.
#![allow(unsafe_code)]

use super::members::{self, is_dead};
use super::slots::{MemberRow, Shared};
use crate::sys::futex::{self, Lock, Scope};
use crate::sys::helper_thread::HelperThread;
use crate::sys::{memory, process, time, Errno};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// `LKL_HIDE_*`
pub(super) const NOTHING: u32 = 0;
pub(super) const ASKED: u32 = 1;
pub(super) const TAKEN: u32 = 2;
pub(super) const FAILED: u32 = 3;

/// How long a process may take to begin.
const PATIENCE_NS: u64 = 50_000_000;

struct Slot(UnsafeCell<Option<HelperThread>>);
// SAFETY: touched with LOCK held, or by the only thread of a process.
unsafe impl Sync for Slot {}
static THREAD: Slot = Slot(UnsafeCell::new(None));
static LOCK: Lock = Lock::new();
static STOP: AtomicBool = AtomicBool::new(false);
/// The row of this process.
static ROW: AtomicPtr<MemberRow> = AtomicPtr::new(std::ptr::null_mut());

/// `ops.hide_away`: the part of the memory of the member's process is without access when this returns 0.
pub(super) fn hide_away(words: &Shared, member: u32, addr: usize, len: usize) -> Result<(), Errno> {
    let row = words.member(member);
    if is_dead(words, member) {
        return Ok(());
    }
    if row.has_helper.load(Ordering::Acquire) == 0 {
        return Err(Errno::ESRCH);
    }
    row.hide_addr.store(addr, Ordering::Relaxed);
    row.hide_len.store(len, Ordering::Relaxed);
    row.hide.store(ASKED, Ordering::Release);
    futex::wake_all(&raw const row.hide, Scope::Shared);
    wait_for_answer(words, member, row)
}

fn wait_for_answer(words: &Shared, member: u32, row: &MemberRow) -> Result<(), Errno> {
    let mut until = time::monotonic_ns() + PATIENCE_NS;
    loop {
        let state = row.hide.load(Ordering::Acquire);
        match state {
            NOTHING => return Ok(()),
            FAILED => {
                row.hide.store(NOTHING, Ordering::Relaxed);
                return Err(Errno::ENOMEM);
            }
            _ => futex::wait_until(&row.hide, state, until, Scope::Shared),
        }
        if time::monotonic_ns() < until {
            continue;
        }
        if is_dead(words, member) {
            row.hide.store(NOTHING, Ordering::Relaxed);
            return Ok(());
        }
        // What is taken is under way, and cannot be taken back.
        if row.hide.compare_exchange(ASKED, NOTHING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Err(Errno::ETIMEDOUT);
        }
        until += PATIENCE_NS;
    }
}

/// Starts the thread of this process, if there is none yet.
pub(crate) fn start(words: &'static Shared) -> Result<(), Errno> {
    let row = words.member(members::me());
    let _held = LOCK.hold();
    if row.has_helper.load(Ordering::Relaxed) != 0 {
        return Ok(());
    }
    STOP.store(false, Ordering::Relaxed);
    ROW.store(std::ptr::from_ref(row).cast_mut(), Ordering::Relaxed);
    let thread = HelperThread::spawn(c"stowaway-maps", run, 0)?;
    // SAFETY: the lock is held.
    unsafe { *THREAD.0.get() = Some(thread) };
    row.has_helper.store(1, Ordering::Release);
    Ok(())
}

/// Ends the thread. This process has no such memory any more.
pub(crate) fn stop() {
    let _held = LOCK.hold();
    // SAFETY: the lock is held.
    let Some(thread) = (unsafe { (*THREAD.0.get()).take() }) else { return };
    // SAFETY: the kernel's memory is mapped as long as the thread runs.
    let row = unsafe { &*ROW.load(Ordering::Relaxed) };
    row.has_helper.store(0, Ordering::Release);
    STOP.store(true, Ordering::SeqCst);
    while !thread.has_ended() {
        futex::wake_all(&raw const row.hide, Scope::Shared);
        process::sleep_ns(50_000);
    }
    thread.join();
}

/// In the child of a fork, in its only thread: the thread is not here.
pub(crate) fn reset_in_child() {
    LOCK.reset();
    // SAFETY: the only thread.
    if let Some(thread) = unsafe { (*THREAD.0.get()).take() } {
        thread.forget();
    }
}

/// After an exec: the memory is gone, and with it the thread.
pub(super) fn is_over(row: &MemberRow) {
    row.has_helper.store(0, Ordering::Relaxed);
    if row.hide.swap(NOTHING, Ordering::AcqRel) != NOTHING {
        futex::wake_all(&raw const row.hide, Scope::Shared);
    }
}

extern "C" fn run(_: usize) {
    // SAFETY: start() stored a row of the kernel's memory, which is mapped as long as the thread runs.
    let row = unsafe { &*ROW.load(Ordering::Relaxed) };
    while !STOP.load(Ordering::SeqCst) {
        match row.hide.compare_exchange(ASKED, TAKEN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => answer(row),
            Err(state) => futex::wait(&row.hide, state, Scope::Shared),
        }
    }
}

fn answer(row: &MemberRow) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    let (addr, len) = (row.hide_addr.load(Ordering::Relaxed), row.hide_len.load(Ordering::Relaxed));
    // SAFETY: see above: a part that the process has reserved for a mapping, as the kernel says, which waits for us.
    let hidden = unsafe { memory::map(addr, len, libc::PROT_NONE, flags, -1, 0) };
    row.hide.store(if hidden.is_ok() { NOTHING } else { FAILED }, Ordering::Release);
    futex::wake_all(&raw const row.hide, Scope::Shared);
}
