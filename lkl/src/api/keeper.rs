// SPDX-License-Identifier: GPL-2.0-only
//! The keeper: a process of this library's own that uses the instance, and outlives the program's processes where they are
//! killed. Linux keeps what a process wrote when the process is killed; so does an instance with a keeper, which syncs and
//! unmounts when nobody else is left.
//!
//! One process of the program starts the keeper, in the background. The last process of the program that ends in order
//! dismisses the keeper, and unmounts itself: the images are free when the program has ended.
//!
//! A connection to a server is the keeper's (`dev::block::nbd`). Then the keeper is not dismissed: the last process leaves, and
//! waits until the keeper has unmounted.
//!
//! `Shared::keeper_state`: NONE -> WAITING (-> HURRIED) -> STARTING -> UP -> LEAVING or ENDING -> GONE. Whoever changes the state does so
//! by compare-and-swap, and wakes the others.
//!
//! # Safety
//! Tasks are used by the thread that made them, or by the only thread of the keeper.
#![allow(unsafe_code)]

use super::{Private, Task};
use crate::attach::{self, Handover, Kernel};
use crate::cpu::{self, members, watch, Shared, HAS_LEFT};
use crate::dev::block;
use crate::sys::futex::{self, Scope};
use crate::sys::time::monotonic_ns;
use crate::sys::{file, process, Errno};
use std::sync::atomic::{
    AtomicU32,
    Ordering::{Relaxed, SeqCst},
};

/// There is none.
const NONE: u32 = 0;
/// A thread waits a moment before it starts the keeper: most programs end soon.
const WAITING: u32 = 1;
/// The thread is to wait no longer.
const HURRIED: u32 = 6;
/// The keeper's member is there, and its process on the way.
const STARTING: u32 = 2;
/// The keeper looks after the others.
const UP: u32 = 3;
/// The program's last process ends, and unmounts itself.
const LEAVING: u32 = 4;
/// It has left, or could not be started.
const GONE: u32 = 5;
/// Nobody else is left: the keeper unmounts.
const ENDING: u32 = 7;

/// How often the keeper looks whether the others live, ns.
const LOOK_NS: u64 = 50_000_000;
/// The most that is left to be said.
const UNSAID_BYTES: usize = 400;
/// How long the keeper may take to leave, ns.
const LEAVE_NS: u64 = 3_000_000_000;
/// How long the keeper may take to unmount, ns.
const UNMOUNT_NS: u64 = 120_000_000_000;

fn change(words: &Shared, from: u32, to: u32) -> bool {
    let is_changed = words.keeper_state.compare_exchange(from, to, SeqCst, SeqCst).is_ok();
    if is_changed {
        watch::call_keeper(words);
    }
    is_changed
}

/// Sleeps while the state is `state`, for `ns` at most. Whether the state is still the same.
fn wait_in(words: &Shared, state: u32, ns: u64) -> bool {
    let until = monotonic_ns().saturating_add(ns);
    !futex::wait_while(&words.keeper_state, state, until, Scope::Shared)
}

/// What a keeper does beside its work for the kernel.
pub trait Duties {
    /// Whether a process is at the door that wants to use the instance.
    fn has_visitor(&self) -> bool;
    /// Answers that process. `admit` makes a member for the process with the host's id that it is given.
    fn answer(&mut self, admit: &mut dyn FnMut(u32) -> Result<Handover, Errno>);
    /// Nobody is left: the keeper is about to sync and to unmount.
    fn unmounts(&mut self);
}

/// Says what sees to it that there is a keeper: called now and then, in a helper thread.
pub fn watch_keeper_by(watch: fn()) {
    watch::watch_keeper_by(watch);
}

/// In a process of the program's.
impl Kernel {
    /// Whether the calling process is to start the keeper: there is none, and nobody else is about to start one.
    pub fn claim_keeper(&self) -> bool {
        let is_ours = change(self.words, NONE, WAITING);
        if is_ours {
            self.words.keeper_starter.store(members::me(), SeqCst);
        }
        is_ours
    }

    /// Whether there is to be a keeper, and the process that was to start the keeper, or the keeper, is no more. Then there is none
    /// now, and nobody is about to start one.
    pub fn has_lost_keeper(&self) -> bool {
        let words = self.words;
        let is_dead = |member: &AtomicU32| {
            let number = member.load(SeqCst);
            number == 0 || members::is_dead(words, number)
        };
        let state = words.keeper_state.load(SeqCst);
        let is_lost = match state {
            WAITING | HURRIED => is_dead(&words.keeper_starter),
            STARTING => is_dead(&words.keeper_starter) && is_dead(&words.keeper),
            // What only the keeper could reach is out of reach for ever.
            UP => is_dead(&words.keeper) && words.was_shared.load(SeqCst) & watch::HAS_LINKS == 0,
            _ => false,
        };
        is_lost && change(words, state, NONE)
    }

    /// Waits for `ns`. False: the keeper is not to be started any more.
    pub fn wait_before_keeper(&self, ns: u64) -> bool {
        wait_in(self.words, WAITING, ns);
        change(self.words, WAITING, STARTING) || change(self.words, HURRIED, STARTING)
    }

    /// A thread that waits starts the keeper now.
    pub fn hurry_keeper(&self) {
        change(self.words, WAITING, HURRIED);
    }

    /// Waits for a moment until the keeper that was started looks after the others.
    pub fn wait_for_keeper(&self) {
        wait_in(self.words, STARTING, LEAVE_NS);
    }

    /// The keeper that has not been started yet is not started.
    pub fn cancel_keeper(&self) {
        change(self.words, WAITING, NONE);
    }

    /// Makes the keeper's member, which has no files; what its process needs. Between [`Kernel::wait_before_keeper`] and the
    /// process, by a thread without a task.
    pub fn new_keeper(&self) -> Result<Handover, Errno> {
        let task = Task::new(self)?.as_ptr();
        // SAFETY: the task was just made, and is this thread's until it is released.
        let made = unsafe {
            let made = self.bare_member(task);
            self.release(task);
            made
        }?;
        self.words.keeper.store(made.member, SeqCst);
        Ok(made)
    }

    /// A member that has nothing of the one that makes it.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    unsafe fn bare_member(&self, t: *mut Task) -> Result<Handover, Errno> {
        let store = block::store().ok_or(Errno::ENOENT)?;
        let mut slot: *mut Task = std::ptr::null_mut();
        let args = [&raw mut slot as usize, 1, 0, 0, 0, 0];
        // SAFETY: the caller answers for the task; the pointer is valid during the call.
        let member = unsafe { self.private(t, Private::MemberNew, args) }? as u32;
        Ok(Handover {
            memory: self.region.fd(),
            store,
            base: self.region.base(),
            ram_bytes: self.region.ram.len(),
            member,
            task: slot as usize,
        })
    }

    /// In the keeper's process, which shares the memory of its maker yet: the member is the calling process. False: the member was
    /// given up.
    pub fn keeper_is_this_process(&self, from: &Handover) -> bool {
        members::begins(self.words, from.member)
    }

    /// The keeper could not be started. `made`: its member is there.
    pub fn keeper_failed(&self, made: Option<&Handover>) {
        if let Some(from) = made {
            let _ = cpu::member_exit(self.words, from.member, true);
        }
        self.words.keeper.store(0, SeqCst);
        change(self.words, STARTING, GONE);
    }

    /// Before the program's last process ends the kernel: when this returns, the keeper has left, or will never come. False:
    /// it does not answer, and will unmount.
    pub(crate) fn dismiss_keeper(&self) -> bool {
        let words = self.words;
        self.cancel_keeper();
        if change(words, STARTING, LEAVING) {
            // Its process finds that out before it touches anything.
            self.keeper_has_gone(true);
        } else if change(words, UP, LEAVING) {
            let until = monotonic_ns() + LEAVE_NS;
            while wait_in(words, LEAVING, LOOK_NS) {
                let keeper = words.keeper.load(SeqCst);
                if members::is_dead(words, keeper) {
                    self.keeper_has_gone(true);
                    break;
                }
                if monotonic_ns() > until {
                    return false;
                }
            }
        }
        words.keeper.store(0, SeqCst);
        true
    }

    /// Whether the keeper has a connection to a server, or had.
    pub(crate) fn has_links(&self) -> bool {
        self.words.was_shared.load(SeqCst) & watch::HAS_LINKS != 0 && watch::keeper() != 0
    }

    /// After this process has left, as the last one: waits until the keeper has unmounted.
    pub(crate) fn wait_for_keepers_end(&self) {
        let (words, until) = (self.words, monotonic_ns() + UNMOUNT_NS);
        let pid = self.keeper_pid();
        let is_there = || pid.is_some_and(|pid| !process::has_ended(pid)) && monotonic_ns() < until;
        loop {
            let state = words.keeper_state.load(SeqCst);
            if state == GONE || !is_there() {
                return;
            }
            watch::call_keeper(words);
            wait_in(words, state, LOOK_NS);
        }
    }

    fn keeper_has_gone(&self, is_dead: bool) {
        let _ = cpu::member_exit(self.words, self.words.keeper.load(SeqCst), is_dead);
        self.words.keeper_state.store(GONE, SeqCst);
    }

    /// What the keeper left to be said, if anything: calls `say` with it.
    #[cold]
    pub fn take_unsaid(&self, say: impl FnOnce(&[u8])) {
        let mut text = [0; UNSAID_BYTES];
        let len = self.words.unsaid.swap(0, SeqCst) as usize;
        if let (true, Ok(n)) = (
            len > 0,
            file::read_at(self.region.fd(), &mut text[..len.min(UNSAID_BYTES)], self.region.unsaid_at()),
        ) {
            say(&text[..n]);
        }
    }

    /// The host's id of the keeper's process, if there is a keeper.
    pub fn keeper_pid(&self) -> Option<u32> {
        let number = self.words.keeper.load(SeqCst);
        let pid = self.words.member(number).process();
        (number != 0 && pid != 0).then_some(pid)
    }

    /// Whether a process of the program's beside this one, and not the keeper, uses the kernel.
    pub fn has_live_company(&self) -> bool {
        let (me, keeper) = (members::me(), self.words.keeper.load(SeqCst));
        self.words.members.iter().any(|row| {
            let number = row.number.load(SeqCst);
            let is_other = number != 0 && number != me && number != keeper;
            is_other
                && row.tgid.load(SeqCst) != HAS_LEFT
                && !members::is_orphan(row)
                && !members::is_dead(self.words, number)
        })
    }
}

/// In the keeper.
impl Kernel {
    /// The keeper has no stderr: what is to be said is left in the memory file, for [`Kernel::take_unsaid`].
    pub fn leave_alerts_to_others(&'static self) {
        attach::leave_alerts_to_others(self);
    }

    /// Looks after the other members until they dismiss the keeper, or none is left. Then the keeper syncs and unmounts. The
    /// process ends after this.
    ///
    /// # Safety
    /// `t` is the task that was made for this process, and the calling thread the only one that uses it.
    pub unsafe fn keep(&self, t: *mut Task, duties: &mut dyn Duties) -> Result<(), Errno> {
        let words = self.words;
        if !change(words, STARTING, UP) {
            return Ok(());
        }
        let mut seen = words.disks.load(SeqCst).wrapping_sub(1);
        loop {
            let disks = words.disks.load(SeqCst);
            if disks != seen {
                block::follow_store();
                seen = disks;
            }
            if !self.wait_for_work(duties, seen) {
                break;
            }
            while duties.has_visitor() {
                // SAFETY: the caller's promise.
                duties.answer(&mut |pid| unsafe { self.admit(t, pid) });
            }
            self.look_after_others();
            if !self.has_live_company() && change(words, UP, ENDING) {
                duties.unmounts();
                // SAFETY: the caller's promise.
                let done = unsafe { self.shutdown(t) };
                let lost = self.take_write_error().map(|(_, error)| error);
                let done = lost.map_or(done, Err);
                if let Err(error) = done {
                    words.lost_write.store(error.into_raw() as u32, SeqCst);
                }
                change(words, ENDING, GONE);
                return done;
            }
        }
        if let Some((_, error)) = self.take_write_error() {
            words.lost_write.store(error.into_raw() as u32, Relaxed);
        }
        let _ = self.leave_to_others();
        block::close_copies();
        change(words, LEAVING, GONE);
        Ok(())
    }

    /// Sleeps until it is time to look after the others, or there is a visitor or another disk. False: the keeper is dismissed.
    fn wait_for_work(&self, duties: &dyn Duties, disks: u64) -> bool {
        let (state, until) = (&self.words.keeper_state, monotonic_ns() + LOOK_NS);
        let has_work = || {
            let is_last = self.words.nr_members.load(SeqCst) == 1;
            is_last || duties.has_visitor() || self.words.disks.load(SeqCst) != disks
        };
        while state.load(SeqCst) == UP && monotonic_ns() < until && !has_work() {
            futex::wait_until(state, UP, until, Scope::Shared);
        }
        state.load(SeqCst) == UP
    }

    /// In any thread of the keeper's process: somebody is at the door.
    pub fn call_keeper(&self) {
        watch::call_keeper(self.words);
    }

    /// A member for the process `pid`, which nobody of the instance has made.
    ///
    /// # Safety
    /// As [`Kernel::keep`].
    unsafe fn admit(&self, t: *mut Task, pid: u32) -> Result<Handover, Errno> {
        self.words.was_shared.fetch_or(1, Relaxed);
        // SAFETY: the caller's promise.
        let made = unsafe { self.bare_member(t) }?;
        self.words.member(made.member).pid.store(pid, SeqCst);
        Ok(made)
    }

    fn look_after_others(&self) {
        watch::retire_all_dead(self.words);
        watch::take_dead_clock(self.words);
        watch::release_stopped(self.words);
    }
}
