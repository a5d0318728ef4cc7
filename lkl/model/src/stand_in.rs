// SPDX-License-Identifier: GPL-2.0-only
//! In the place of the kernel and the host.
//!
//! # Safety
//! Pointers to call slots are those of threads that wait; loom watches the cells.
#![allow(unsafe_code)]

use crate::protocol::{Begin, Cpu, Env, Run};
use crate::slots::*;
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*, MEMBERS};
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicBool;
use loom::sync::{Arc, Condvar, Mutex};

/// Requests.
pub const NOTHING: i64 = 0;
/// Until the device is done.
pub const FOR_DEVICE: i64 = 1;
/// Until another thread's [`POST`].
pub const FOR_POST: i64 = 2;
pub const POST: i64 = 3;
/// Until a timer of the kernel's fires.
pub const FOR_TIMER: i64 = 4;
/// Starts a timer that nobody waits for.
pub const START_TIMER: i64 = 5;

/// The device's interrupt.
pub const DEVICE: u64 = 2;
/// When timers fire.
const DUE: u64 = 10;

/// What only the holder of the CPU touches.
#[derive(Default)]
struct Kernel {
    waiting: Vec<*const CallSlot>,
    device: bool,
    posts: u32,
    fired: bool,
    /// A process died while it was in here: every request ends.
    dead: bool,
}

/// The members of most scenes, and of those with several processes.
pub const FIRST: u32 = 1;
pub const SECOND: u32 = 2;
pub const THIRD: u32 = 3;

/// A process of the machine: what its threads stand on.
#[derive(Clone, Copy)]
pub struct Process<'a> {
    machine: &'a Machine,
    number: u32,
}

pub struct Machine {
    kernel: UnsafeCell<Kernel>,
    pub words: Shared,
    /// The host's futexes: all sleepers, in one row.
    futex: (Mutex<()>, Condvar),
    clock: AtomicU64,
    pub fired: AtomicBool,
    /// Which processes are no more, by number.
    pub died: [AtomicBool; MEMBERS],
}

// SAFETY: the kernel's state is in a cell that loom watches; pointers in it are to waiters of threads that wait.
unsafe impl Send for Machine {}
// SAFETY: as above.
unsafe impl Sync for Machine {}

impl Machine {
    pub fn new() -> Arc<Machine> {
        Arc::new(Machine {
            kernel: UnsafeCell::new(Kernel::default()),
            words: words(),
            futex: (Mutex::new(()), Condvar::new()),
            clock: AtomicU64::new(1),
            fired: AtomicBool::new(false),
            died: std::array::from_fn(|_| AtomicBool::new(false)),
        })
    }

    /// The machine with several processes, which look after each other: waits end now and then.
    pub fn shared() -> Arc<Machine> {
        let machine = Machine::new();
        machine.words.nr_members.store(2, SeqCst);
        machine
    }

    pub fn cpu(&self) -> Cpu<'_, Process<'_>> {
        self.cpu_of(FIRST)
    }

    /// As a thread of process `number` sees it.
    pub fn cpu_of(&self, number: u32) -> Cpu<'_, Process<'_>> {
        Cpu { words: &self.words, env: Process { machine: self, number } }
    }

    /// A call of the library's, as `cpu::call()` makes it.
    pub fn request(&self, nr: i64) {
        let w = waiter(nr);
        self.serve(&w);
    }

    /// The same, by a thread of process `number`.
    pub fn request_of(&self, number: u32, nr: i64) {
        let w = waiter_of(number, nr);
        self.serve(&w);
    }

    pub fn serve(&self, w: &CallSlot) {
        let cpu = self.cpu_of(w.home.load(Relaxed));
        if cpu.try_take() {
            w.state.store(WAITING, Relaxed);
            cpu.drive(w, Begin::Post);
        } else {
            cpu.request(w, 1);
        }
    }

    /// Whether the kernel was not declared dead. When all threads are done.
    pub fn is_alive(&self) -> bool {
        // SAFETY: loom panics if another thread is in here.
        self.kernel.with(|kernel| unsafe { !(*kernel).dead })
    }

    /// The request of a thread that sleeps already, and that nobody wakes: its process will be no more.
    pub fn leave_asleep(&self, w: &CallSlot) {
        w.state.store(SLEEPING, SeqCst);
        self.words.inbox.store(std::ptr::from_ref(w).cast_mut(), SeqCst);
        self.words.pending.fetch_or(PEND_INBOX, SeqCst);
    }

    /// Whether the request is done now; what it does to others.
    fn try_serve(&self, kernel: &mut Kernel, w: &CallSlot) -> bool {
        // SAFETY: the request was written before it was posted.
        match unsafe { (*w.request.get()).nr } {
            FOR_DEVICE => kernel.device,
            FOR_POST => {
                let any = kernel.posts > 0;
                kernel.posts -= u32::from(any);
                any
            }
            POST => {
                kernel.posts += 1;
                true
            }
            FOR_TIMER => kernel.fired,
            _ => true,
        }
    }

    fn begin(&self, w: &CallSlot) {
        // SAFETY: as above.
        if matches!(unsafe { (*w.request.get()).nr }, FOR_TIMER | START_TIMER) {
            self.cpu().arm(DUE, true);
        }
    }

    fn take_pending(&self, kernel: &mut Kernel) -> bool {
        let bits = self.words.pending.swap(0, SeqCst);
        kernel.device |= bits & DEVICE != 0;
        if bits & PEND_TIMER != 0 {
            kernel.fired = true;
            self.fired.store(true, SeqCst);
        }
        if bits & PEND_INBOX != 0 {
            let mut at = self.words.inbox.swap(std::ptr::null_mut(), Acquire);
            while !at.is_null() {
                // SAFETY: its thread waits.
                let w = unsafe { &*at };
                at = w.next.load(Relaxed);
                self.begin(w);
                kernel.waiting.push(w);
            }
        }
        bits != 0
    }

    /// All that can be done; how the stay ends, if the driver's request is done or the CPU is for another process's thread.
    /// `done`: whether it is already.
    fn serve_all(
        &self,
        kernel: &mut Kernel,
        home: u32,
        driver: Option<&CallSlot>,
        mut done: bool,
    ) -> Option<Run> {
        // Twice: what one does may be what another before it waits for.
        for _ in 0..2 {
            let mut row = std::mem::take(&mut kernel.waiting).into_iter();
            while let Some(w) = row.next() {
                // SAFETY: its thread waits.
                let waiter = unsafe { &*w };
                let is_interrupted = waiter.interrupted.load(Relaxed) != 0;
                if waiter.home.load(Relaxed) != home && is_ready(kernel, waiter) {
                    // A call runs at home.
                    kernel.waiting.extend(row);
                    kernel.waiting.push(w);
                    self.words.away.store(w.cast_mut(), SeqCst);
                    return Some(if done { Run::DoneAway } else { Run::Away });
                }
                if !is_interrupted && !self.try_serve(kernel, waiter) {
                    kernel.waiting.push(w);
                } else if driver.is_some_and(|driver| std::ptr::eq(driver, w)) {
                    done = true;
                } else {
                    self.cpu().complete(waiter);
                }
            }
        }
        done.then_some(Run::Done)
    }

    /// The kernel cannot go on: every request ends.
    fn end_all(&self, kernel: &mut Kernel, driver: Option<&CallSlot>) -> Run {
        kernel.dead = true;
        self.take_pending(kernel);
        for w in std::mem::take(&mut kernel.waiting) {
            if driver.is_none_or(|driver| !std::ptr::eq(driver, w)) {
                // SAFETY: its thread waits, or is no more.
                self.cpu().complete(unsafe { &*w });
            }
        }
        if driver.is_some() {
            Run::Done
        } else {
            Run::Idle
        }
    }
}

/// Whether the request would be done now.
fn is_ready(kernel: &Kernel, w: &CallSlot) -> bool {
    // SAFETY: the request was written before it was posted.
    match unsafe { (*w.request.get()).nr } {
        FOR_DEVICE => kernel.device,
        FOR_POST => kernel.posts > 0,
        FOR_TIMER => kernel.fired,
        _ => true,
    }
}

fn words() -> Shared {
    Shared {
        cpu: AtomicU32::new(FREE),
        pollers: AtomicU32::new(0),
        pending: AtomicU64::new(0),
        inbox: AtomicPtr::default(),
        current_in_user: AtomicPtr::default(),
        host_sp: AtomicUsize::new(0),
        call: AtomicUsize::new(0),
        entry_seq: AtomicU64::new(0),
        deadline: AtomicU64::new(NEVER),
        timer_until: AtomicU64::new(NEVER),
        waiter_until: AtomicU64::new(NEVER),
        timer_word: AtomicU32::new(0),
        clock_home: AtomicU32::new(FIRST),
        nr_members: AtomicU32::new(1),
        home: AtomicU32::new(0),
        away: AtomicPtr::default(),
        members_seen_ns: AtomicU64::new(0),
        disks: AtomicU64::new(0),
        disks_lock: AtomicU32::new(0),
        was_shared: AtomicU32::new(0),
        wake_cost_ns: AtomicU64::new(0),
        last_contended_ns: AtomicU64::new(0),
        backoff_ns: AtomicU32::new(0),
        backoff_skips: AtomicU32::new(0),
        pad2: [0; 5],
        counters: std::array::from_fn(|_| AtomicU64::new(0)),
        mounts_lock: AtomicU32::new(0),
        keeper: AtomicU32::new(0),
        keeper_state: AtomicU32::new(0),
        unsaid: AtomicU32::new(0),
        lost_write: AtomicU32::new(0),
        keeper_starter: AtomicU32::new(0),
        asking_later: AtomicU64::new(0),
        said: AtomicU32::new(0),
        pad3: 0,
        net_links: AtomicPtr::new(std::ptr::null_mut()),
        members: std::array::from_fn(|_| MemberRow {
            number: AtomicU32::new(0),
            pid: AtomicU32::new(0),
            tgid: AtomicU32::new(0),
            pollers: AtomicU32::new(0),
            hide: AtomicU32::new(0),
            has_helper: AtomicU32::new(0),
            hide_addr: AtomicUsize::new(0),
            hide_len: AtomicUsize::new(0),
        }),
    }
}

pub fn waiter(nr: i64) -> CallSlot {
    waiter_of(FIRST, nr)
}

pub fn waiter_of(number: u32, nr: i64) -> CallSlot {
    CallSlot::new(Request { nr, args: [0; 6], want_fd: -1, pad: 0 }, number)
}

impl Env for Process<'_> {
    type Spin = u32;

    fn begin_spin(&self) -> u32 {
        0
    }

    fn run(&self, driver: Option<&CallSlot>, begin: Begin) -> Run {
        let machine = self.machine;
        machine.kernel.with_mut(|kernel| {
            // SAFETY: loom panics if another thread is in here.
            let kernel = unsafe { &mut *kernel };
            let mut done = false;
            match (driver, begin) {
                _ if kernel.dead => return machine.end_all(kernel, driver),
                (_, Begin::Died) => return machine.end_all(kernel, driver),
                (Some(w), Begin::Post) => {
                    machine.begin(w);
                    kernel.waiting.push(w);
                }
                (Some(w), Begin::Resume) => {
                    // The call that the kernel was left for comes first.
                    machine.words.away.store(std::ptr::null_mut(), SeqCst);
                    kernel.waiting.retain(|&waiting| !std::ptr::eq(waiting, w));
                    done = machine.try_serve(kernel, w);
                    assert!(done, "it was ready");
                }
                (_, Begin::Adopt) => {
                    // The call goes on without its process, and ends.
                    let away = machine.words.away.swap(std::ptr::null_mut(), SeqCst);
                    kernel.waiting.retain(|&w| !std::ptr::eq(w, away));
                }
                _ => {}
            }
            loop {
                if let Some(run) = machine.serve_all(kernel, self.number, driver, done) {
                    return run;
                }
                if !machine.take_pending(kernel) {
                    return Run::Idle;
                }
            }
        })
    }

    fn sleep(&self, word: &AtomicU32, value: u32, until: u64) {
        let machine = self.machine;
        if machine.words.is_shared() {
            // The thread looks after the others now and then: as if this moment had come.
            return loom::thread::yield_now();
        }
        if until != NEVER {
            // The time has come.
            machine.clock.store(until, SeqCst);
            return;
        }
        let mut row = machine.futex.0.lock().unwrap();
        while word.load(SeqCst) == value {
            row = machine.futex.1.wait(row).unwrap();
        }
    }

    fn wake(&self, _: *const AtomicU32) {
        let _row = self.machine.futex.0.lock().unwrap();
        self.machine.futex.1.notify_all();
    }

    fn now(&self) -> u64 {
        self.machine.clock.load(SeqCst)
    }

    fn spin_once(&self, _: &CallSlot, spin: &mut u32, _: &mut u64) -> bool {
        *spin += 1;
        false
    }

    /// Somebody was asked; whether the answer is there already is up to the schedule.
    fn kick(&self, answered: &dyn Fn() -> bool) -> Option<bool> {
        Some(answered())
    }

    fn pause(&self) {
        loom::thread::yield_now();
    }

    fn give_way(&self) {
        loom::thread::yield_now();
    }

    fn me(&self) -> u32 {
        self.number
    }

    fn may_take(&self) -> bool {
        true
    }

    fn is_dead(&self, member: u32) -> bool {
        self.machine.died[member as usize].load(SeqCst)
    }

    fn look_after_members(&self, _: Option<&CallSlot>) {}

    fn look_after_clock(&self) {}
}
