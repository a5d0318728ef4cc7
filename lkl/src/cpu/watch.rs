// SPDX-License-Identifier: GPL-2.0-only
//! How the processes that use an instance look after each other: members whose process is no more end, and some process has the
//! thread of the clock.

use super::members::{self, is_dead, me, Watch};
use super::protocol::LOOK_NS;
use super::slots::{Shared, ENTERED, NEVER};
use super::{entry, timer};
use crate::sys::futex::{self, Scope};
use crate::sys::{process, time, Errno};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::OnceLock;

/// What sees to it that there is a keeper, if there is to be one.
static KEEPER_WATCH: OnceLock<fn()> = OnceLock::new();

/// Says what sees to the keeper, when the members are looked after.
pub(crate) fn watch_keeper_by(watch: fn()) {
    let _ = KEEPER_WATCH.set(watch);
}

/// What sees to it that some process waits for the frames of each network interface.
static LINKS_WATCH: OnceLock<fn(bool)> = OnceLock::new();

/// Says what sees to the network interfaces, when the members are looked after: often, and now and then with a look at the other
/// processes (true).
pub(crate) fn watch_links_by(watch: fn(bool)) {
    let _ = LINKS_WATCH.set(watch);
}

fn look_after_links(thoroughly: bool) {
    if let Some(watch) = LINKS_WATCH.get() {
        watch(thoroughly);
    }
}

/// Whether the process of a member is no more, or is stopped.
pub(crate) fn is_away(number: u32) -> bool {
    entry::words()
        .is_some_and(|words| is_dead(words, number) || process::is_stopped(words.member(number).process()))
}

/// Before this process uses a kernel.
pub(crate) fn begin() {
    members::watch_by(Watch {
        members: look_after,
        dead_clock: take_dead_clock,
        clock: |words| take_clock(words, 0),
    });
}

/// After an exec, in the only thread: a thread that the exec took away may have held a lock.
pub(crate) fn drop_locks(words: &Shared) {
    for lock in [&words.disks_lock, &words.mounts_lock] {
        let _ = lock.compare_exchange(me(), 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Sees to members whose process is no more: their files are closed, their locks dropped. Does nothing if a thread of any
/// process did so a moment ago.
fn look_after(words: &'static Shared) {
    look_after_links(false);
    let now = time::monotonic_ns();
    let seen = words.members_seen_ns.load(Ordering::Relaxed);
    let is_mine = |seen| {
        words.members_seen_ns.compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    };
    if now.saturating_sub(seen) < LOOK_NS / 2 || !is_mine(seen) {
        return;
    }
    retire_dead(words);
    take_dead_clock(words);
    release_stopped(words);
    look_after_links(true);
    if let Some(watch) = KEEPER_WATCH.get() {
        watch();
    }
}

/// A process that was stopped (SIGSTOP, SIGTSTP) with the CPU in its hands is in the way of all. It goes on until it has left
/// the kernel, and is stopped again. Not by a thread that waits for a call.
pub(crate) fn release_stopped(words: &'static Shared) {
    /// The entries into the kernel at the last look: while they go on, nobody is stuck.
    static ENTRIES: AtomicU64 = AtomicU64::new(0);
    let entries = words.entry_seq.load(Ordering::Relaxed);
    if ENTRIES.swap(entries, Ordering::Relaxed) != entries {
        return;
    }
    let Some(pid) = entry::holder(words).map(|number| words.member(number).process()) else {
        return;
    };
    if goes_on(pid) {
        stop_again(words, pid);
    }
}

/// So long a process that was stopped may take to get out of the way.
const PATIENCE_NS: u64 = 1_000_000_000;

/// Whether the process was stopped, and has been told to go on.
fn goes_on(pid: u32) -> bool {
    pid != process::pid() && process::is_stopped(pid) && process::signal(pid, libc::SIGCONT).is_ok()
}

fn stop_again(words: &'static Shared, pid: u32) {
    const STOP_NS: u64 = 20_000_000;
    entry::with_nobody_inside(words, PATIENCE_NS, || {
        let until = time::monotonic_ns() + STOP_NS;
        let sent = process::signal(pid, libc::SIGSTOP);
        while sent.is_ok() && !process::is_stopped(pid) && time::monotonic_ns() < until {
            process::yield_now();
        }
    });
}

/// The same of a process that was stopped with a lock in its hands. The caller does not hold the CPU.
fn release_stopped_holder(words: &'static Shared, lock: &AtomicU32, holder: u32) {
    let pid = words.member(holder).process();
    if !goes_on(pid) {
        return;
    }
    let until = time::monotonic_ns() + PATIENCE_NS;
    while lock.load(Ordering::Relaxed) == holder && time::monotonic_ns() < until {
        process::sleep_ns(PAUSE_NS);
    }
    stop_again(words, pid);
}

/// The clock becomes this process's if no process has it.
pub(crate) fn take_dead_clock(words: &'static Shared) {
    let clock = words.clock_home.load(Ordering::SeqCst);
    if clock == 0 || (clock != me() && is_dead(words, clock)) {
        take_clock(words, clock);
    }
}

/// Before a dead member ends, and its requests are done by others: what only the keeper could reach is out of reach.
fn note_death(words: &Shared, number: u32) {
    let _ = words.keeper.compare_exchange(number, 0, Ordering::SeqCst, Ordering::Relaxed);
}

/// Ends a member whose process is no more. False: the kernel has stopped.
fn end_dead(words: &'static Shared, number: u32) -> bool {
    note_death(words, number);
    let ended = entry::member_exit(words, number, true);
    // Another thread may have been faster; or the member had left in order.
    if ended == Err(Errno::ESRCH) {
        members::give_row_back(words, number);
    }
    ended != Err(Errno::EIO)
}

/// The members whose process is no more.
fn dead(words: &'static Shared) -> impl Iterator<Item = u32> {
    let numbers = words.members.iter().map(|row| row.number.load(Ordering::Acquire));
    numbers.filter(|&number| number != 0 && number != me() && is_dead(words, number))
}

/// Ends the members whose process is no more. Also one that was killed inside the kernel: whoever asks for its end finds that the
/// kernel has stopped. False: it has.
pub(crate) fn retire_all_dead(words: &'static Shared) -> bool {
    members::give_up_unborn(words);
    let mut runs = true;
    for number in dead(words) {
        runs &= end_dead(words, number);
    }
    runs
}

/// Asks for the end of the members whose process is no more. By the clock's thread, which does not wait.
fn retire_dead(words: &'static Shared) {
    members::give_up_unborn(words);
    members::collect(words, |request, ret| {
        // The member had left in order.
        if ret == -(libc::ESRCH as isize) {
            members::give_row_back(words, request.args[0] as u32);
        }
    });
    // A member that holds the CPU and died is another matter: who waits for the CPU takes it over.
    dead(words).filter(|&number| words.cpu.load(Ordering::SeqCst) & !ENTERED != number).for_each(|number| {
        note_death(words, number);
        entry::member_exit_later(words, number);
    });
}

fn take_clock(words: &'static Shared, from: u32) {
    if words.clock_home.compare_exchange(from, me(), Ordering::SeqCst, Ordering::Relaxed).is_ok()
        && timer::start().is_err()
    {
        words.clock_home.store(0, Ordering::SeqCst);
    }
}

/// The number of a new disk. There is a kernel, or one is booting.
pub(crate) fn next_disk() -> u64 {
    entry::words().map_or(0, |words| words.disks.fetch_add(1, Ordering::Relaxed))
}

/// The store of disks is another than before: the keeper looks at once.
pub(crate) fn disks_have_changed() {
    if let Some(words) = entry::words() {
        words.disks.fetch_add(1, Ordering::SeqCst);
        call_keeper(words);
    }
}

/// The keeper, or who waits for the keeper, looks at once.
pub(crate) fn call_keeper(words: &Shared) {
    futex::wake_all(&raw const words.keeper_state, Scope::Shared);
}

/// The member that is the keeper; 0: there is none.
pub(crate) fn keeper() -> u32 {
    entry::words().map_or(0, |words| words.keeper.load(Ordering::SeqCst))
}

/// `Shared::was_shared`: the keeper has had a connection to a server.
pub(crate) const HAS_LINKS: u32 = 2;

/// The keeper has a connection to a server: it unmounts when all others have left.
pub(crate) fn note_link() {
    if let Some(words) = entry::words() {
        words.was_shared.fetch_or(HAS_LINKS, Ordering::SeqCst);
    }
}

/// Runs `work`, one process at a time. Not from a signal handler.
pub(crate) fn with_disks<T>(work: impl FnOnce() -> T) -> T {
    let Some(words) = entry::words() else { return work() };
    // The CPU may be held: a process that is stopped with the lock cannot be stopped again from here.
    with_lock(words, &words.disks_lock, |_| {}, work)
}

/// Runs `work`, which mounts, one process at a time. Not from a signal handler.
pub(crate) fn with_mounts<T>(words: &'static Shared, work: impl FnOnce() -> T) -> T {
    let lock = &words.mounts_lock;
    with_lock(words, lock, |holder| release_stopped_holder(words, lock, holder), work)
}

/// Between two looks at a lock.
const PAUSE_NS: u32 = 20_000;
/// So often the holder of a lock is left alone before it is looked whether it is stopped.
const LOOKS: u32 = 500;

fn with_lock<T>(words: &Shared, lock: &AtomicU32, is_held: impl Fn(u32), work: impl FnOnce() -> T) -> T {
    for look in 1u32.. {
        match lock.compare_exchange(0, me(), Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => break,
            // It died with the lock. The store holds what it held, or nothing.
            Err(holder) if holder != me() && is_dead(words, holder) => {
                let _ = lock.compare_exchange(holder, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
            Err(holder) if look % LOOKS == 0 => is_held(holder),
            Err(_) => process::sleep_ns(PAUSE_NS),
        }
    }
    let done = work();
    lock.store(0, Ordering::Release);
    done
}

/// The clock's thread of this process, if the clock is here, ends: another member starts one when it needs the clock.
pub(crate) fn leave_clock(words: &Shared) {
    if words.clock_home.load(Ordering::SeqCst) == me() {
        timer::stop();
        words.timer_until.store(NEVER, Ordering::SeqCst);
        words.clock_home.store(0, Ordering::SeqCst);
    }
}
