// SPDX-License-Identifier: GPL-2.0-only
//! What a process does with its kernel: calls, threads, shutdown.
//!
//! # Safety
//! A call enters the kernel on the calling thread: see [`Kernel::call`].
#![allow(unsafe_code)]

use super::private::Private;
use super::task::Task;
use crate::attach::{self, Handover, Kernel};
use crate::cpu::{self, Interruption};
use crate::dev::block::{self, Store};
use crate::dev::{bells, net, tickets};
use crate::sys::time::monotonic_ns;
use crate::sys::{process, Errno, OwnedFd, PAGE};
use std::sync::atomic::Ordering;

/// `struct lkl_creds`
#[repr(C)]
pub(super) struct Creds {
    pub(super) uid: [u32; 4],
    pub(super) gid: [u32; 4],
    pub(super) ngroups: usize,
    pub(super) groups: *const u32,
    pub(super) permitted: u64,
    pub(super) effective: u64,
    pub(super) securebits: u32,
}

/// Who a thread is to the kernel (credentials(7), capabilities(7)).
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// Real, effective, saved and file system user id.
    pub uid: [u32; 4],
    /// Real, effective, saved and file system group id.
    pub gid: [u32; 4],
    /// Supplementary groups.
    pub groups: &'a [u32],
    /// The permitted set of capabilities: bit N is capability N.
    pub permitted: u64,
    /// The effective set.
    pub effective: u64,
    /// PR_GET_SECUREBITS
    pub securebits: u32,
}

/// A member that was made for a child of a fork.
#[derive(Debug, Clone, Copy)]
pub struct NewMember {
    number: u32,
    /// The task of the child's only thread.
    pub task: *mut Task,
}

impl Kernel {
    /// A call in kernel ABI: x86-64's numbers, or [`Private`].  -errno, and raw -ERESTART*
    /// (-512..=-516) when [`Kernel::interrupt`] ended a wait.  `want_fd >= 0`: a descriptor the
    /// call allocates gets this number if it is free.
    ///
    /// # Safety
    /// `t` belongs to the calling thread and is not in use further up its stack (a signal handler
    /// must not call on top of a call).  The arguments are the application's: bad pointers end as
    /// EFAULT if the SIGSEGV handler uses [`Kernel::fault_fixup`].
    #[inline]
    pub unsafe fn call(&self, t: *mut Task, nr: i64, args: &[usize; 6], want_fd: i32) -> isize {
        // SAFETY: the caller's promise.
        unsafe { cpu::call(self.words, Task::slot(t), nr, args, want_fd) }
    }

    /// Ends the wait of the call that `t`'s thread is in, now or as soon as it waits, if that is a wait that such a signal ends.
    /// Does nothing lasting if there is none.
    ///
    /// # Safety
    /// Called on `t`'s own thread (from a signal handler); `t` is not released.
    pub unsafe fn interrupt(&self, t: *mut Task, by: Interruption) {
        // SAFETY: the caller's promise.
        unsafe { cpu::interrupt(self.words, Task::slot(t), by) }
    }

    /// The host descriptor of the kernel's memory, which `copy` is to give another number (or -errno: it stays).
    pub fn move_memory_fd(&self, copy: impl FnOnce(i32) -> i32) {
        let to = copy(self.region.fd());
        if to >= 0 {
            self.region.move_fd(to);
            block::bounce::move_fd(to);
        }
    }

    /// Makes what other processes need to use this kernel: the store of descriptors, with numbers from `at_fd` up. Before the
    /// first disk is attached.
    pub fn prepare_to_share(&self, at_fd: i32) -> Result<Store, Errno> {
        self.region.say_build()?;
        block::set_states(self.region.fd(), self.region.states_at());
        let store = Store::make(at_fd)?;
        block::set_store(Some(store));
        Ok(store)
    }

    /// What the program that this process executes needs to go on with this kernel by the task `t`. `None`: the instance has no
    /// memory file or no store.
    pub fn handover(&self, t: *mut Task) -> Option<Handover> {
        self.words.was_shared.fetch_or(1, Ordering::Relaxed);
        let memory = self.region.fd();
        let store = block::store().filter(|_| memory >= 0)?;
        Some(Handover {
            memory,
            store,
            base: self.region.base(),
            ram_bytes: self.region.ram.len(),
            member: cpu::members::me(),
            task: t as usize,
        })
    }

    /// Before an exec that hands the kernel over: when this returns, no other thread of this process is in the kernel, or will
    /// be, and nothing is left to do for the process's own threads.
    pub fn hold_off(&self) {
        cpu::hide::stop();
        net::leave();
        cpu::hold_off(self.words);
        block::leave();
        cpu::watch::leave_clock(self.words);
        // What was done last for a disk is for another process to see.
        cpu::wake_clock();
    }

    /// The exec failed: the process goes on with the kernel.
    pub fn go_on(&self) {
        cpu::go_on(self.words);
        net::begin();
        net::follow();
    }

    /// After the exec: the tasks of the threads that the exec took away end.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn end_other_threads(&self, t: *mut Task) -> Result<(), Errno> {
        // SAFETY: the caller answers for the task.
        unsafe { self.private(t, Private::OnlyThread, [0; 6]) }.map(drop)
    }

    /// The first error of a write to a disk or of its flush since the last time this was asked, with the
    /// disk's host descriptor. What a kernel cannot report to anybody (write-back after the last close) would
    /// be lost silently otherwise.
    pub fn take_write_error(&self) -> Option<(i32, Errno)> {
        let by_keeper = || match self.words.lost_write.swap(0, Ordering::Relaxed) {
            0 => None,
            error => Some((-1, Errno::new(error as i32))),
        };
        block::take_write_error().or_else(by_keeper)
    }

    /// Ends the kernel task of a thread that makes no more calls, and frees its memory.
    ///
    /// # Safety
    /// `t` is not used afterwards, nor by a call under way.
    pub unsafe fn release(&self, t: *mut Task) {
        // SAFETY: the caller's promise.
        unsafe { cpu::thread_exit(self.words, Task::slot(t)) };
    }

    /// What a child of a fork needs to go on with this kernel. Made before the fork, by the thread of `t`; the child has
    /// what that thread has: copies of the table of open files, the current directory, credentials.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn new_member(&self, t: *mut Task) -> Result<NewMember, Errno> {
        let mut slot: *mut Task = std::ptr::null_mut();
        let args = [&raw mut slot as usize, 0, 0, 0, 0, 0];
        self.words.was_shared.fetch_or(1, Ordering::Relaxed);
        // SAFETY: the caller answers for the task; the pointer is valid during the call.
        let number = unsafe { self.private(t, Private::MemberNew, args) }?;
        Ok(NewMember { number: number as u32, task: slot })
    }

    /// In the parent, after the fork: the member is the process `pid`.
    pub fn member_is(&self, member: NewMember, pid: u32) {
        cpu::member_is(self.words, member.number, pid);
    }

    /// After a fork that failed: the member is nobody.
    pub fn abandon(&self, member: NewMember) {
        let _ = cpu::member_exit(self.words, member.number, true);
    }

    /// In the child, first: whether the member that was made for it is still there. Not if the parent was killed and the child was
    /// late.
    pub fn begins(&self, member: NewMember) -> bool {
        cpu::members::begins(self.words, member.number)
    }

    /// In the child, in its only thread: goes on with the parent's kernel, by the member's task.
    ///
    /// # Safety
    /// `member` was made for this process by its parent, in this memory.
    pub unsafe fn become_member(&self, member: NewMember) {
        // SAFETY: the caller's promise: the slot is this thread's now.
        attach::become_member_in_child(unsafe { &*Task::slot(member.task) });
    }

    /// The host's id of the process that the kernel calls `tgid`, as F_GETLK names the holder of a lock.
    pub fn pid_of(&self, tgid: u32) -> Option<u32> {
        let is_it = |row: &&cpu::MemberRow| {
            row.number.load(Ordering::Relaxed) != 0 && row.tgid.load(Ordering::Relaxed) == tgid
        };
        self.words.members.iter().find(is_it).map(cpu::MemberRow::process)
    }

    /// Whether this is the first process of the instance to say something; `bit`, below 32, stands for what is said.
    pub fn says_first(&self, bit: u32) -> bool {
        self.words.said.fetch_or(1 << bit, Ordering::Relaxed) >> bit & 1 == 0
    }

    /// Whether another process uses the kernel, or did.
    pub fn was_shared(&self) -> bool {
        self.words.was_shared.load(Ordering::Relaxed) != 0
    }

    /// Whether a child of fork could use this kernel: not where the engine is io_uring, or a disk is a server's.
    pub fn can_be_shared(&self) -> bool {
        block::can_be_shared()
    }

    /// Sends a SIGKILL by `send` while no process is inside the kernel; and waits, for a moment, until the processes that the
    /// signal goes to are no more. Not from a signal handler, nor with a handler to come on this thread.
    pub fn kill_outside<T, E>(
        &self,
        send: impl FnOnce() -> core::result::Result<T, E>,
        is_over: &dyn Fn() -> bool,
    ) -> core::result::Result<T, E> {
        const HOLDER_NS: u64 = 10_000_000_000;
        const TARGET_NS: u64 = 1_000_000_000;
        cpu::with_nobody_inside(self.words, HOLDER_NS, || {
            let sent = send();
            let until = monotonic_ns() + TARGET_NS;
            while sent.is_ok() && !is_over() && monotonic_ns() < until {
                process::yield_now();
            }
            sent
        })
    }

    /// Whether another process may be in the kernel now, if only the keeper, or one that is about to end.
    pub fn may_have_others(&self) -> bool {
        self.words.may_have_others()
    }

    /// Whether `what` holds for the host's id of any process that uses the kernel and lives.
    pub fn any_process(&self, what: impl Fn(u32) -> bool) -> bool {
        self.words.members.iter().any(|row| {
            let (number, pid) = (row.number.load(Ordering::Relaxed), row.process());
            number != 0 && pid != 0 && what(pid) && !process::has_ended(pid)
        })
    }

    /// This process leaves, if others go on with the kernel: its tasks end, its files are closed. False: this process is the
    /// last one, and is to make the [`Kernel::shutdown`].
    pub fn leave(&self) -> bool {
        cpu::members::wait_for_births(self.words);
        if self.has_links() {
            // The keeper alone can reach all disks: it unmounts.
            let has_left = self.leave_to_others();
            if has_left && !self.has_live_company() {
                self.wait_for_keepers_end();
            }
            return has_left;
        }
        // Longer than a process may take to begin that was made by one that was killed.
        const PATIENCE_NS: u64 = 5_000_000_000;
        let until = monotonic_ns() + PATIENCE_NS;
        while !self.has_live_company() && self.dismiss_keeper() {
            if !self.words.is_shared() {
                return false;
            }
            // There are members whose process is no more, some perhaps since a moment ago. In a kernel that has stopped they stay.
            if !cpu::watch::retire_all_dead(self.words) || monotonic_ns() > until {
                break;
            }
            process::yield_now();
        }
        self.leave_to_others()
    }

    /// False: there are no others.
    pub(crate) fn leave_to_others(&self) -> bool {
        if cpu::member_exit(self.words, cpu::members::me(), false) == Err(Errno::EBUSY) {
            return false;
        }
        net::leave();
        cpu::watch::leave_clock(self.words);
        block::begin_to_leave();
        cpu::leave_for_good(self.words);
        // No thread of this process drives any more, and none is given a request.
        block::leave();
        cpu::wake_clock();
        cpu::members::give_row_back(self.words, cpu::members::me());
        true
    }

    /// Starts the thread by which other processes take pages of mapped files away from this process. Async-signal-safe.
    pub fn start_area_helper(&self) -> Result<(), Errno> {
        cpu::hide::start(self.words)
    }

    /// Before this process leaves the kernel, or the last one ends it: pages of mapped files are out of reach from here on.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn end_areas(&self, t: *mut Task) {
        // SAFETY: the caller answers for the task.
        let _ = unsafe { self.private(t, Private::AreasEnd, [1, 0, 0, 0, 0, 0]) };
        cpu::hide::stop();
    }

    /// The host descriptor of a bell ([`Private::WaitArm`]), which becomes ready at each ring and stays so: to be listened
    /// to in an epoll set, edge-triggered. Some threads have one bell together, by their `number`.
    pub fn bell(&self, number: usize) -> Result<i32, Errno> {
        bells::listen(number)
    }

    /// The host descriptor of a chime ([`Private::WatchBegin`]): a file that changes at each ring, to be watched.
    pub fn chime(&self, number: usize) -> Result<i32, Errno> {
        bells::chime(number)
    }

    /// Makes an AF_UNIX stream socket without a peer a ticket, for [`Private::PassPark`]; its number.
    pub fn make_ticket(&self, socket: i32) -> Result<u64, Errno> {
        tickets::add(socket)
    }

    /// After [`Private::PassPark`]: keeps a copy of what the host has of the file, until the ticket is no more.
    pub fn keep_half(&self, ticket: u64, half: i32) -> Result<(), Errno> {
        tickets::keep_half(ticket, half)
    }

    /// The number of what may be a ticket; ENOTSOCK: it is none.
    pub fn ticket_number(&self, socket: i32) -> Result<u64, Errno> {
        tickets::number(socket)
    }

    /// What the host has of the file of a ticket, as a copy of the caller's.
    pub fn half_of(&self, ticket: u64) -> Result<OwnedFd, Errno> {
        tickets::half(ticket)
    }

    /// What a thread does that sleeps in the host for long: if another process uses the kernel, sees to it that there is a clock,
    /// whose thread sees to those that are no more. Whether one does.
    pub fn look_after_members(&self) -> bool {
        self.words.may_have_others() && {
            cpu::watch::take_dead_clock(self.words);
            true
        }
    }

    /// A private call of this crate itself.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub(crate) unsafe fn private(&self, t: *mut Task, nr: Private, args: [usize; 6]) -> Result<usize, Errno> {
        // SAFETY: the caller's promise.
        crate::sys::check(unsafe { self.call(t, nr as i64, &args, -1) })
    }

    /// Brings lo up, with 127.0.0.1 and ::1.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn loopback_up(&self, t: *mut Task) -> Result<(), Errno> {
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        unsafe { self.private(t, Private::LoopbackUp, [0; 6]) }.map(drop)
    }

    /// Sets the credentials of `t`. A new task has those of root: its thread tells the kernel who it is before its first call.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn set_credentials(&self, t: *mut Task, who: &Credentials<'_>) -> Result<(), Errno> {
        let creds = Creds {
            uid: who.uid,
            gid: who.gid,
            ngroups: who.groups.len(),
            groups: who.groups.as_ptr(),
            permitted: who.permitted,
            effective: who.effective,
            securebits: who.securebits,
        };
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        unsafe { self.private(t, Private::SetCreds, [&raw const creds as usize, 0, 0, 0, 0, 0]) }.map(drop)
    }

    /// Gives memory back to the host: what of the page cache is clean, and all that is free. How many bytes went.
    /// (Without being asked, free memory goes back after some seconds, and clean pages when the host is short of memory.)
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn release_memory(&self, t: *mut Task) -> Result<usize, Errno> {
        // SAFETY: the caller answers for the task.
        unsafe { self.private(t, Private::ReleaseMemory, [0; 6]) }.map(|pages| pages * PAGE)
    }

    /// Closes, syncs and unmounts everything.  Other threads' calls end; every later one is
    /// -ENODEV.  The first failure is returned, what can be done is done anyway; a write that the
    /// host refused at any time (ENOSPC, EIO) is one.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn shutdown(&self, t: *mut Task) -> Result<(), Errno> {
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        let ended = unsafe { self.private(t, Private::Shutdown, [0; 6]) }.map(drop);
        if ended != Err(Errno::ENODEV) {
            net::stop();
            block::stop();
        }
        ended
    }
}
