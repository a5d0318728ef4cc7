// SPDX-License-Identifier: GPL-2.0-only
//! The processes that use an instance, as one of them sees them: who this process is, and whether the others live.
//!
//! # Safety
//! The slots for requests that are no thread's lie in the kernel's memory. `CallSlot::owner` says whose a slot is.
#![allow(unsafe_code)]

use super::slots::{CallSlot, MemberRow, Request, Shared, DONE, NOT_BEGUN, NO_REQUEST};
use super::sync::MEMBERS;
use crate::sys::process;
use crate::sys::time::monotonic_ns;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
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
/// See [`crate::confine`].
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

/// This process is the member that `w` was made for, and has a kernel already.
pub(crate) fn become_member(w: &CallSlot) {
    ME.store(w.home.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Others can see from here on which process the member is.
pub(super) fn has_begun(words: &Shared) {
    words.member(me()).pid.store(process::pid(), Ordering::Release);
}

/// See [`crate::confine`].
pub(crate) fn confine() {
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
    let has_ended = || match pid {
        0 => false,
        NOT_BEGUN => true,
        // Its maker says nothing of it.
        _ if pid & NOT_BEGUN != 0 => false,
        _ => !is_confined() && process::has_ended(pid),
    };
    row.number.load(Ordering::Acquire) != number || has_ended()
}

/// The member `number`, which the calling process has made, is the process `pid`.
pub(super) fn is_process(words: &Shared, number: u32, pid: u32) {
    let row = words.member(number);
    if row.number.load(Ordering::Acquire) == number {
        let know = |before: u32| (before & NOT_BEGUN != 0).then_some(pid);
        let _ = row.pid.fetch_update(Ordering::AcqRel, Ordering::Relaxed, know);
    }
}

/// The calling process is the member `number`, which was made for it. False: the member was given up.
pub(crate) fn begins(words: &Shared, number: u32) -> bool {
    let (row, own) = (words.member(number), process::pid());
    let begin = |pid: u32| (pid != NOT_BEGUN && (pid & NOT_BEGUN != 0 || pid == own)).then_some(own);
    row.number.load(Ordering::Acquire) == number
        && row.pid.fetch_update(Ordering::AcqRel, Ordering::Acquire, begin).is_ok()
}

/// Whether a member was made for a process that has not begun, and whose maker is no more.
pub(crate) fn is_orphan(row: &MemberRow) -> bool {
    let pid = row.pid.load(Ordering::Acquire);
    row.number.load(Ordering::Acquire) != 0
        && pid & NOT_BEGUN != 0
        && (pid == NOT_BEGUN || (!is_confined() && process::has_ended(pid & !NOT_BEGUN)))
}

/// Waits for a moment until the processes that this one has made have begun, or are known.
pub(crate) fn wait_for_births(words: &Shared) {
    const PATIENCE_NS: u64 = 200_000_000;
    let (unborn, until) = (process::pid() | NOT_BEGUN, monotonic_ns() + PATIENCE_NS);
    let is_unborn = |row: &MemberRow| {
        row.number.load(Ordering::Acquire) != 0 && row.pid.load(Ordering::Acquire) == unborn
    };
    while words.members.iter().any(is_unborn) && monotonic_ns() < until {
        process::yield_now();
    }
}

/// How long a process may take to begin when the one that made it is no more, ns.
const BIRTH_NS: u64 = 3_000_000_000;

/// Gives up members that were made for a process which does not begin, because its maker was killed before it was made.
pub(super) fn give_up_unborn(words: &Shared) {
    static SEEN_NS: [AtomicU64; MEMBERS] = [const { AtomicU64::new(0) }; MEMBERS];
    if is_confined() {
        return;
    }
    for (row, seen) in words.members.iter().zip(&SEEN_NS) {
        let pid = row.pid.load(Ordering::Acquire);
        if pid == NOT_BEGUN || !is_orphan(row) {
            seen.store(0, Ordering::Relaxed);
            continue;
        }
        match (seen.load(Ordering::Relaxed), monotonic_ns()) {
            (0, now) => seen.store(now, Ordering::Relaxed),
            (since, now) if now - since > BIRTH_NS => {
                let _ = row.pid.compare_exchange(pid, NOT_BEGUN, Ordering::AcqRel, Ordering::Relaxed);
            }
            _ => {}
        }
    }
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

/// The slots of requests that are no thread's.
fn slots() -> impl Iterator<Item = &'static CallSlot> {
    let first = ASKER_SLOTS.load(Ordering::Relaxed);
    // SAFETY: an array of ASKERS slots, which is there as long as the kernel. What is not atomic in one is its owner's.
    (0..ASKERS).map(move |number| unsafe { &*first.add(number) })
}

/// Makes a request in a slot where other members can see to it, and returns the request's result.
pub(super) fn with_asker(request: Request, make: impl FnOnce(&CallSlot)) -> isize {
    let (_, w) = take_asker();
    // SAFETY: the slot is ours.
    unsafe { w.renew(request, me()) };
    make(w);
    let ret = w.ret.load(Ordering::Relaxed) as isize;
    w.owner.store(0, Ordering::Release);
    ret
}

/// Makes a request in such a slot, and does not wait for its result: see [`collect`]. Nothing happens if all slots are in use.
pub(super) fn ask_later(words: &Shared, request: Request, post: impl FnOnce(&CallSlot)) {
    let Some((number, w)) = try_take_asker() else { return };
    // SAFETY: the slot is ours.
    unsafe { w.renew(request, me()) };
    words.asking_later.fetch_or(1 << number, Ordering::Release);
    post(w);
}

/// Frees the slots of requests that nobody waits for and that are done. `what` gets each request and its result.
pub(super) fn collect(words: &Shared, what: impl Fn(&Request, isize)) {
    for (number, w) in slots().enumerate() {
        let bit = 1 << number;
        if words.asking_later.load(Ordering::Acquire) & bit != 0
            && w.state.load(Ordering::Acquire) == DONE
            && words.asking_later.fetch_and(!bit, Ordering::AcqRel) & bit != 0
        {
            // SAFETY: a request that is done is nobody's, and the bit is taken by one thread alone.
            what(unsafe { &*w.request.get() }, w.ret.load(Ordering::Relaxed) as isize);
            w.owner.store(0, Ordering::Release);
        }
    }
}

/// Tries without a look whether some slot is nobody's any more.
const TRIES: u32 = 1_000;

fn take_asker() -> (usize, &'static CallSlot) {
    for tries in 1u32.. {
        if let Some(taken) = try_take_asker() {
            return taken;
        }
        if tries % TRIES == 0 {
            process::yield_now();
        }
        std::hint::spin_loop();
    }
    unreachable!("there is no end of tries");
}

/// `None`: all are in use, or another thread was faster.
fn try_take_asker() -> Option<(usize, &'static CallSlot)> {
    let take = |&(_, w): &(usize, &CallSlot)| {
        w.owner.load(Ordering::Relaxed) == 0
            && w.owner.compare_exchange(0, process::pid(), Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    slots().enumerate().find(take).or_else(|| {
        slots().for_each(free_of_dead);
        slots().enumerate().find(take)
    })
}

/// A process that was killed has a slot for ever: it is free if the kernel has done with the request, or never saw it. (A
/// process that is killed in the moment in which it hands its request in takes the slot with it.)
fn free_of_dead(w: &CallSlot) {
    let owner = w.owner.load(Ordering::Acquire);
    if owner == 0 || is_confined() || !process::has_ended(owner) {
        return;
    }
    if matches!(w.state.load(Ordering::Acquire), NO_REQUEST | DONE) {
        let _ = w.owner.compare_exchange(owner, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}
