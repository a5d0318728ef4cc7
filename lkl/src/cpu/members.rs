// SPDX-License-Identifier: GPL-2.0-only
//! The processes that use an instance, as one of them sees them: who this process is, and whether the others live.
//!
//! # Safety
//! The slots for requests that are no thread's lie in the kernel's memory. A bit in `Shared::asking` says whose a slot is.
#![allow(unsafe_code)]

use super::slots::{CallSlot, Request, Shared, DONE};
use crate::sys::process;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::sync::OnceLock;

/// `LKL_ASKERS`
pub(super) const ASKERS: usize = 16;
/// The number of the process that boots the kernel.
const FIRST: u32 = 1;

/// This process's number.
static ME: AtomicU32 = AtomicU32::new(FIRST);
/// `lkl_askers()`
static ASKER_SLOTS: AtomicPtr<CallSlot> = AtomicPtr::new(std::ptr::null_mut());
/// This process makes no call any more.
static HAS_LEFT: AtomicBool = AtomicBool::new(false);
/// See [`confine`].
static IS_CONFINED: AtomicBool = AtomicBool::new(false);

/// This process's number among the members of the instance.
#[inline]
pub(crate) fn me() -> u32 {
    ME.load(Ordering::Relaxed)
}

/// Whether this process has left the instance.
#[inline]
pub(super) fn has_left() -> bool {
    HAS_LEFT.load(Ordering::SeqCst)
}

/// This process leaves the instance. The CPU is held.
pub(super) fn leave() {
    HAS_LEFT.store(true, Ordering::SeqCst);
}

/// Before the kernel is booted.
pub(super) fn begin(askers: usize) {
    ME.store(FIRST, Ordering::Relaxed);
    HAS_LEFT.store(false, Ordering::Relaxed);
    ASKER_SLOTS.store(askers as *mut CallSlot, Ordering::Relaxed);
}

/// This process is the member `number`, and was so before it executed this program.
pub(super) fn attach(askers: usize, number: u32) {
    begin(askers);
    ME.store(number, Ordering::Relaxed);
}

/// Threads of this process may take the CPU again.
pub(super) fn come_back() {
    HAS_LEFT.store(false, Ordering::SeqCst);
}

/// This process is the member that `w` was made for.
pub(super) fn become_member(w: &CallSlot) {
    ME.store(w.home.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Others can see from here on which process the member is.
pub(super) fn has_begun(words: &Shared) {
    words.member(me()).pid.store(process::pid(), Ordering::Release);
}

/// This process may make no other host calls than those that its program makes (seccomp): it looks after nobody, and its
/// threads are not the clock.
pub fn confine() {
    IS_CONFINED.store(true, Ordering::Relaxed);
}

/// The row of member `number`, which has left or died and is not in the kernel, is free.
pub(crate) fn give_row_back(words: &Shared, number: u32) {
    let _ = words.member(number).number.compare_exchange(number, 0, Ordering::Release, Ordering::Relaxed);
}

/// Whether the process of member `number` is no more.
pub(crate) fn is_dead(words: &Shared, number: u32) -> bool {
    let row = words.member(number);
    let pid = row.pid.load(Ordering::Acquire);
    row.number.load(Ordering::Acquire) != number || (pid != 0 && !is_confined() && process::has_ended(pid))
}

/// What a room above sets: see `watch`.
static WATCH: OnceLock<Watch> = OnceLock::new();

/// How a process looks after the others.
#[derive(Clone, Copy)]
pub(super) struct Watch {
    /// Sees to members whose process is no more or is stopped, if nobody did so a moment ago.
    pub(super) members: fn(&'static Shared),
    /// Starts the clock's thread in this process, if the process that had it is no more.
    pub(super) dead_clock: fn(&'static Shared),
    /// Starts the clock's thread in this process, if no process has it.
    pub(super) clock: fn(&'static Shared),
}

/// Says how this process looks after the others.
pub(super) fn watch_by(watch: Watch) {
    let _ = WATCH.set(watch);
}

/// Sees to members whose process is no more. `w`: of the waiting thread that looks. Such a thread only sees to it that there is a
/// clock, whose thread does the rest: it may be handed the CPU at any moment, and so can make no other request meanwhile.
#[cold]
pub(crate) fn look_after(words: &'static Shared, w: Option<&CallSlot>) {
    let Some(watch) = WATCH.get().filter(|_| !is_confined()) else { return };
    match w {
        None => (watch.members)(words),
        Some(_) => (watch.dead_clock)(words),
    }
}

/// Starts the clock's thread in this process, if no process has it.
#[cold]
pub(super) fn look_after_clock(words: &'static Shared) {
    if let Some(watch) = WATCH.get().filter(|_| !is_confined()) {
        (watch.clock)(words);
    }
}

fn is_confined() -> bool {
    IS_CONFINED.load(Ordering::Relaxed)
}

fn slots() -> *mut CallSlot {
    ASKER_SLOTS.load(Ordering::Relaxed)
}

/// Makes a request in a slot where other members can see to it, and returns the request's result.
pub(super) fn with_asker(words: &Shared, request: Request, make: impl FnOnce(&CallSlot)) -> isize {
    let number = take_asker(words);
    // SAFETY: an array of ASKERS slots, of which this one is ours.
    let w = unsafe {
        let at = slots().add(number);
        at.write(CallSlot::new(request, me()));
        &*at
    };
    make(w);
    let ret = w.ret.load(Ordering::Relaxed) as isize;
    words.asking.fetch_and(!(1 << number), Ordering::Release);
    ret
}

/// Makes a request in such a slot, and does not wait for its result: see [`collect`]. Nothing happens if all slots are in use.
pub(super) fn ask_later(words: &Shared, request: Request, post: impl FnOnce(&CallSlot)) {
    let Some(number) = try_take_asker(words) else { return };
    // SAFETY: as in with_asker().
    let w = unsafe {
        let at = slots().add(number);
        at.write(CallSlot::new(request, me()));
        &*at
    };
    words.asking_later.fetch_or(1 << number, Ordering::Release);
    post(w);
}

/// Frees the slots of requests that nobody waits for and that are done. `what` gets each request and its result.
pub(super) fn collect(words: &Shared, what: impl Fn(&Request, isize)) {
    for number in (0..ASKERS).filter(|number| words.asking_later.load(Ordering::Acquire) & 1 << number != 0) {
        // SAFETY: one of the slots; a request that is done is nobody's, and the bit is taken by one thread alone.
        unsafe {
            let w = &*slots().add(number);
            let is_done = w.state.load(Ordering::Acquire) == DONE;
            if is_done && words.asking_later.fetch_and(!(1 << number), Ordering::AcqRel) & 1 << number != 0 {
                what(&*w.request.get(), w.ret.load(Ordering::Relaxed) as isize);
                words.asking.fetch_and(!(1 << number), Ordering::Release);
            }
        }
    }
}

fn take_asker(words: &Shared) -> usize {
    loop {
        if let Some(number) = try_take_asker(words) {
            return number;
        }
        std::hint::spin_loop();
    }
}

/// `None`: all are in use, or another thread was faster.
fn try_take_asker(words: &Shared) -> Option<usize> {
    let taken = words.asking.load(Ordering::Relaxed);
    let number = (!taken).trailing_zeros() as usize;
    let is_ours = number < ASKERS
        && words
            .asking
            .compare_exchange(taken, taken | 1 << number, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
    is_ours.then_some(number)
}
