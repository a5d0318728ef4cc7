// SPDX-License-Identifier: GPL-2.0-only
//! In the place of the kernel and the host.
//!
//! # Safety
//! Pointers to call slots are those of threads that wait; loom watches the cells.
#![allow(unsafe_code)]

use crate::protocol::{Cpu, Env, Run};
use crate::slots::*;
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
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
}

pub struct Machine {
    kernel: UnsafeCell<Kernel>,
    pub words: Shared,
    /// The host's futexes: all sleepers, in one row.
    futex: (Mutex<()>, Condvar),
    clock: AtomicU64,
    pub fired: AtomicBool,
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
        })
    }

    pub fn cpu(&self) -> Cpu<'_, &Machine> {
        Cpu { words: &self.words, env: self }
    }

    /// A call of the library's, as `cpu::call()` makes it.
    pub fn request(&self, nr: i64) {
        let w = waiter(nr);
        self.serve(&w);
    }

    pub fn serve(&self, w: &CallSlot) {
        let cpu = self.cpu();
        if cpu.try_take() {
            w.state.store(WAITING, Relaxed);
            cpu.drive(w, true);
        } else {
            cpu.request(w, 1);
        }
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

    /// All that can be done; whether the driver's request was.
    fn serve_all(&self, kernel: &mut Kernel, driver: Option<&CallSlot>) -> bool {
        let mut done = false;
        // Twice: what one does may be what another before it waits for.
        for _ in 0..2 {
            for w in std::mem::take(&mut kernel.waiting) {
                // SAFETY: its thread waits.
                let waiter = unsafe { &*w };
                let is_interrupted = waiter.interrupted.load(Relaxed) != 0;
                if !is_interrupted && !self.try_serve(kernel, waiter) {
                    kernel.waiting.push(w);
                } else if driver.is_some_and(|driver| std::ptr::eq(driver, w)) {
                    done = true;
                } else {
                    self.cpu().complete(waiter);
                }
            }
        }
        done
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
        pad1: [0; 11],
        wake_cost_ns: AtomicU64::new(0),
        last_contended_ns: AtomicU64::new(0),
        backoff_ns: AtomicU32::new(0),
        backoff_skips: AtomicU32::new(0),
        pad2: [0; 5],
        counters: std::array::from_fn(|_| AtomicU64::new(0)),
    }
}

pub fn waiter(nr: i64) -> CallSlot {
    CallSlot::new(Request { nr, args: [0; 6], want_fd: -1, pad: 0 })
}

impl Env for &Machine {
    type Spin = u32;

    fn begin_spin(&self) -> u32 {
        0
    }

    fn run(&self, driver: Option<&CallSlot>, post: bool) -> Run {
        self.kernel.with_mut(|kernel| {
            // SAFETY: loom panics if another thread is in here.
            let kernel = unsafe { &mut *kernel };
            if let (Some(w), true) = (driver, post) {
                self.begin(w);
                kernel.waiting.push(w);
            }
            loop {
                let done = self.serve_all(kernel, driver);
                if done {
                    return Run::Done;
                }
                if !self.take_pending(kernel) {
                    return Run::Idle;
                }
            }
        })
    }

    fn sleep(&self, word: &AtomicU32, value: u32, until: u64) {
        if until != NEVER {
            // The time has come.
            self.clock.store(until, SeqCst);
            return;
        }
        let mut row = self.futex.0.lock().unwrap();
        while word.load(SeqCst) == value {
            row = self.futex.1.wait(row).unwrap();
        }
    }

    fn wake(&self, _: *const AtomicU32) {
        let _row = self.futex.0.lock().unwrap();
        self.futex.1.notify_all();
    }

    fn now(&self) -> u64 {
        self.clock.load(SeqCst)
    }

    fn spin_once(&self, _: &CallSlot, spin: &mut u32, _: &mut u64) -> bool {
        *spin += 1;
        false
    }

    /// Somebody was asked; whether the answer is there already is up to the schedule.
    fn kick(&self, answered: &dyn Fn() -> bool) -> Option<bool> {
        Some(answered())
    }

    fn pause(&self) {}
}
