// SPDX-License-Identifier: GPL-2.0-only
//! The words that host threads and the kernel share: `struct lkl_shared` and `struct lkl_call_slot` of the overlay's `asm/shared.h`.
//! They lie in the kernel's memory, and nothing in them is private to a process: futexes on them are shared ones.
//!
//! # Safety
//! A request is written by its thread before it is posted, and read by the holder of the CPU after.
#![allow(unsafe_code)]

use super::sync::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, MEMBERS};
use std::cell::UnsafeCell;

/// `Shared::cpu`: nobody holds it. Else it is the number of the member whose thread does,
pub(crate) const FREE: u32 = 0;
/// and this bit while that thread is in the kernel.
pub(crate) const ENTERED: u32 = 1 << 31;

/// `CallSlot::state`: no request; one that waits; the thread sleeps meanwhile; it is done; it waits, and the CPU is held for
/// its thread.
pub(crate) const NO_REQUEST: u32 = 0;
pub(crate) const WAITING: u32 = 1;
pub(crate) const SLEEPING: u32 = 2;
pub(crate) const DONE: u32 = 3;
pub(crate) const HANDED: u32 = 4;

/// `Shared::pending`: interrupt numbers, and from above:
pub(crate) const PEND_TIMER: u64 = 1;
/// Tasks want to run; nothing else.
pub(crate) const PEND_RESCHED: u64 = 1 << 61;
/// Some waiter has `interrupted` set.
pub(crate) const PEND_INTERRUPT: u64 = 1 << 62;
/// The `inbox` is not empty.
pub(crate) const PEND_INBOX: u64 = 1 << 63;

/// What ends a wait of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// A signal that the process outlives: TASK_INTERRUPTIBLE waits end.
    BySignal = 1,
    /// A signal that ends the process: TASK_KILLABLE waits end as well.
    ByDeadlySignal = 2,
}

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// What the doorbell counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Rings.
    Rung,
    /// Rings after which nothing had to be done: somebody was going to look.
    Elided,
    /// Threads woken from sleep.
    Woken,
    /// Rings whose work the ringer did itself, on the free CPU.
    RanByRinger,
    /// Requests that found the CPU held.
    Posted,
    /// Waits that ended while spinning.
    Polled,
    /// The clock's thread called for help.
    Helped,
    /// Threads asked to come in from user code.
    Kicked,
    /// The CPU went to a thread of another process, for its call.
    Handed,
}

impl Count {
    /// All counters, with the names that people see.
    pub const ALL: [(Count, &'static str); 9] = [
        (Count::Rung, "rung"),
        (Count::Elided, "elided"),
        (Count::RanByRinger, "ran by the ringer"),
        (Count::Kicked, "kicked"),
        (Count::Woken, "threads woken"),
        (Count::Polled, "waits polled out"),
        (Count::Posted, "calls posted"),
        (Count::Helped, "helped by the clock"),
        (Count::Handed, "handed to another process"),
    ];
}

/// `MemberRow::pid` has this bit while the member's own process has not begun: the rest is the process that makes it. Alone: the
/// member was given up, and its process must not begin.
pub(crate) const NOT_BEGUN: u32 = 1 << 31;

/// `MemberRow::tgid` of a member that has ended in order: its process may have the CPU once more.
pub(crate) const HAS_LEFT: u32 = u32::MAX;

/// `struct lkl_member_row`: a process that uses the instance.
#[repr(C)]
pub(crate) struct MemberRow {
    /// The member's number; 0: the row is free. Numbers are not used again.
    pub number: AtomicU32,
    /// The host's process id, see [`NOT_BEGUN`]; 0: the kernel boots.
    pub pid: AtomicU32,
    /// The kernel's thread group, which F_GETLK and the like name; or [`HAS_LEFT`].
    pub tgid: AtomicU32,
    /// How many of its threads are among `Shared::pollers`. The kernel takes them away when the member ends.
    pub pollers: AtomicU32,
    /// What another member asks of its memory, and how far that is: see `hide`.
    pub hide: AtomicU32,
    /// Whether a thread of the member looks at `hide`.
    pub has_helper: AtomicU32,
    pub hide_addr: AtomicUsize,
    pub hide_len: AtomicUsize,
}

impl MemberRow {
    /// The host's process id of the member, or of the process that makes it.
    pub fn process(&self) -> u32 {
        self.pid.load(Ordering::Acquire) & !NOT_BEGUN
    }
}

/// `struct lkl_shared`. Times are CLOCK_MONOTONIC in ns. Words that other threads write at other times lie on other cache
/// lines.
#[repr(C, align(64))]
pub(crate) struct Shared {
    // Every call writes these.
    pub cpu: AtomicU32,
    /// Threads that look at `pending` and at `cpu`, and will once more when they stop.
    pub pollers: AtomicU32,
    pub pending: AtomicU64,
    /// Requests of threads that found the CPU held.
    pub inbox: AtomicPtr<CallSlot>,
    /// The thread that is out in user code and whose task is the kernel's current one. Only the holder touches it.
    pub current_in_user: AtomicPtr<CallSlot>,
    /// The host stack pointer of the thread that drives. Only the holder touches it.
    pub host_sp: AtomicUsize,
    /// lkl_call()
    pub call: AtomicUsize,
    /// Entries from the host so far. Only the holder writes it; other threads see by it how busy the CPU is.
    pub entry_seq: AtomicU64,
    /// When the kernel wants its next timer interrupt.
    pub deadline: AtomicU64,
    // Threads that sleep write these; every call reads them.
    /// When the clock's thread wakes up by itself; 0: the thread is awake, and will look.
    pub timer_until: AtomicU64,
    /// When a waiting thread wakes up for the deadline.
    pub waiter_until: AtomicU64,
    /// The futex word of the clock's thread: a change wakes the thread.
    pub timer_word: AtomicU32,
    /// The member whose thread is the clock; 0: nobody's is.
    pub clock_home: AtomicU32,
    /// How many members live.
    pub nr_members: AtomicU32,
    /// The member of a driver that is no application thread. Only the holder touches it.
    pub home: AtomicU32,
    /// The thread that is to go on with the CPU. Only the holder touches it.
    pub away: AtomicPtr<CallSlot>,
    /// When a thread last looked whether all members live.
    pub members_seen_ns: AtomicU64,
    /// How many disks there were so far: each has a number of its own.
    pub disks: AtomicU64,
    /// The member that changes the store of the disks' descriptors; 0: nobody.
    pub disks_lock: AtomicU32,
    /// Not 0: there was more than one member, or a member has executed a program.
    pub was_shared: AtomicU32,
    // Threads that find the CPU held write these.
    /// What it takes to wake a thread, ns, as measured.
    pub wake_cost_ns: AtomicU64,
    /// When a thread last found the CPU held.
    pub last_contended_ns: AtomicU64,
    /// How long a thread stays away that finds the CPU held (`backoff.rs`).
    pub backoff_ns: AtomicU32,
    /// How many times more no thread stays away.
    pub backoff_skips: AtomicU32,
    pub pad2: [u64; 5],
    /// By [`Count`].
    pub counters: [AtomicU64; 10],
    /// The member that mounts; 0: nobody.
    pub mounts_lock: AtomicU32,
    /// The member that is the keeper; 0: there is none.
    pub keeper: AtomicU32,
    /// How far the keeper is (`api/keeper.rs`). A futex word.
    pub keeper_state: AtomicU32,
    /// Bytes of what the keeper, which has no stderr, left to be said by another process; 0: nothing.
    pub unsaid: AtomicU32,
    /// An errno: what the keeper wrote was refused, and nobody knows yet.
    pub lost_write: AtomicU32,
    /// The member that is to start the keeper.
    pub keeper_starter: AtomicU32,
    /// A bit for each slot that is no thread's, whose request nobody waits for.
    pub asking_later: AtomicU64,
    /// What the embedding library has said once for all processes: a bit each.
    pub said: AtomicU32,
    pub pad3: u32,
    /// The first of the kernel's network interfaces (`dev::net::link`).
    pub net_links: AtomicPtr<()>,
    pub members: [MemberRow; MEMBERS],
}

impl Shared {
    /// The row of a member, which is another's if the member is no more.
    pub fn member(&self, number: u32) -> &MemberRow {
        &self.members[number as usize % MEMBERS]
    }

    /// The thread that is to go on with the CPU, if the kernel was left for one. The slot may be another's by now, or be no
    /// slot any more, unless the caller is the holder.
    pub fn away(&self) -> Option<&CallSlot> {
        // SAFETY: null, or an address in the kernel's memory, which is mapped as long as the instance.
        unsafe { self.away.load(Ordering::SeqCst).as_ref() }
    }

    /// Whether a process of the program's beside this one uses the instance, or did a moment ago.
    pub fn has_company(&self) -> bool {
        let keeper = u32::from(self.keeper.load(Ordering::Relaxed) != 0);
        self.nr_members.load(Ordering::Relaxed) > 1 + keeper
    }

    /// Whether more than one process uses the instance.
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.nr_members.load(Ordering::Relaxed) > 1
    }

    /// Whether another process may have the CPU: one that has left in order drives once more, and is no member then.
    #[inline]
    pub fn may_have_others(&self) -> bool {
        self.is_shared() || self.was_shared.load(Ordering::Relaxed) != 0
    }

    pub fn counted(&self, what: Count) -> u64 {
        self.counters[what as usize].load(Ordering::Relaxed)
    }

    pub fn count(&self, what: Count) {
        self.counters[what as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// What a waiter asks for.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Request {
    pub nr: i64,
    pub args: [usize; 6],
    pub want_fd: i32,
    pub pad: u32,
}

/// `struct lkl_call_slot`: one request of a host thread.
#[repr(C, align(64))]
pub(crate) struct CallSlot {
    pub state: AtomicU32,
    /// Set by a signal handler on the thread itself: the wait of its call is to end.
    pub interrupted: AtomicU32,
    pub next: AtomicPtr<CallSlot>,
    /// Where the task's kernel stack begins.
    pub stack_top: UnsafeCell<usize>,
    pub request: UnsafeCell<Request>,
    /// The host processor of the thread that completed the last request.
    pub completed_on_cpu: AtomicU32,
    /// How many more long waits the thread spins for; 0: it does not spin for long.
    pub spin_budget: AtomicU32,
    pub ret: AtomicI64,
    /// When the thread was woken by the completion of its request; 0: it was not asleep.
    pub woken_at_ns: AtomicU64,
    /// The member whose thread it is.
    pub home: AtomicU32,
    /// Of a slot that is no thread's: the host's process that uses it; 0: it is free.
    pub owner: AtomicU32,
}

// SAFETY: `request` is written by the thread whose request it is, before it posts it, and read by the holder of the CPU
// after; `stack_top` is written when the thread is made.
unsafe impl Sync for CallSlot {}

impl CallSlot {
    /// A slot for one request of this library itself.
    pub fn new(request: Request, home: u32) -> CallSlot {
        CallSlot {
            state: AtomicU32::new(WAITING),
            interrupted: AtomicU32::new(0),
            next: AtomicPtr::default(),
            stack_top: UnsafeCell::new(0),
            request: UnsafeCell::new(request),
            completed_on_cpu: AtomicU32::new(0),
            spin_budget: AtomicU32::new(0),
            ret: AtomicI64::new(0),
            woken_at_ns: AtomicU64::new(0),
            home: AtomicU32::new(home),
            owner: AtomicU32::new(0),
        }
    }

    /// The same in a slot that is the caller's and had a request before. The request has not begun.
    ///
    /// # Safety
    /// Nobody looks at the slot's request.
    pub unsafe fn renew(&self, request: Request, home: u32) {
        self.state.store(NO_REQUEST, Ordering::Relaxed);
        self.interrupted.store(0, Ordering::Relaxed);
        self.next.store(std::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { *self.request.get() = request };
        self.spin_budget.store(0, Ordering::Relaxed);
        self.woken_at_ns.store(0, Ordering::Relaxed);
        self.home.store(home, Ordering::Relaxed);
    }
}

/// Where the switch finds a thread's kernel stack.
pub(super) const STACK_TOP: usize = std::mem::offset_of!(CallSlot, stack_top);
