// SPDX-License-Identifier: GPL-2.0-only
//! The virtual CPU as host threads see it: calls, waits, the clock. `protocol` has the rules, `words` what is shared.

mod hold_off;
mod protocol;
mod sync;
mod words;

use crate::door::door;
use crate::doorbell;
use crate::host::monotonic_ns;
use crate::sys::host;
use crate::Errno;
use protocol::{Cpu, Run, World};
use std::mem::{offset_of, transmute};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

pub use words::Count;
pub(crate) use words::{Request, Shared, Waiter};

/// Requests that are not calls (`asm/host.h`).
const THREAD_NEW: i64 = -1;
const THREAD_EXIT: i64 = -2;
/// Looks at a held CPU before a request is posted; and at one that will be held as long as anybody wants it.
const LOOKS: u32 = 50;
const FEW_LOOKS: u32 = 8;
/// Breaths before others are let go first.
const BREATHS: u32 = 100;
/// Looks at the clock, once in so many, while others are let go first.
const YIELDS: u32 = 4;
/// `LKL_RUN_CALL`
const RUN_CALL: isize = 2;
/// A deadline that is nearer is looked at on the way out of the kernel: the tick is sooner than its holder is slow.
const SOON_NS: u64 = 1_000_000;
/// How long a kicked thread may take: several times a signal's way. Then it sleeps, or cannot be diverted.
const ANSWER_NS: u64 = 100_000;
/// Until one has been measured.
const WAKE_COST_NS: u64 = 10_000;

// For the door's assembler.
pub(crate) const HOST_SP: usize = offset_of!(Shared, host_sp);
pub(crate) const CALL: usize = offset_of!(Shared, call);
pub(crate) const STACK_TOP: usize = words::STACK_TOP;

/// The kernel's words, once there are any.
static WORDS: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());
/// lkl_run()
static RUN: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// The host, and the kernel of this process.
struct Here;

impl World for Here {
    type Polling = Polling;

    fn run(&self, driver: Option<&Waiter>, post: bool) -> Run {
        type Entry = unsafe extern "C" fn(*const Waiter, i32) -> isize;
        let at = driver.map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: begin() stored a function of this type; the caller holds the CPU.
        let run = unsafe { transmute::<*mut (), Entry>(RUN.load(Ordering::Relaxed))(at, i32::from(post)) };
        match driver {
            Some(w) if run == RUN_CALL => how(serve(w)),
            _ => how(run),
        }
    }

    fn sleep(&self, word: &AtomicU32, value: u32, until: u64) {
        let ts = libc::timespec {
            tv_sec: (until / 1_000_000_000) as libc::time_t,
            tv_nsec: (until % 1_000_000_000) as libc::c_long,
        };
        let timeout = if until == words::NEVER { 0 } else { &raw const ts as usize };
        // WAIT_BITSET's timeout is a point in time of CLOCK_MONOTONIC.
        let (op, all) = (libc::FUTEX_WAIT_BITSET as usize, u32::MAX as usize);
        host(libc::SYS_futex, [word.as_ptr() as usize, op, value as usize, timeout, 0, all]);
    }

    fn wake(&self, word: *const AtomicU32) {
        host(libc::SYS_futex, [word as usize, libc::FUTEX_WAKE as usize, 1, 0, 0, 0]);
    }

    fn now(&self) -> u64 {
        monotonic_ns()
    }

    fn begin_polling(&self) -> Polling {
        Polling { breaths: 0, on: processor() }
    }

    fn breathe(&self, w: &Waiter, polling: &mut Polling, since: &mut u64) -> bool {
        polling.breaths += 1;
        // Who completed the last request may share this processor: it can do nothing while we spin.
        if polling.breaths < BREATHS && w.done_on.load(Ordering::Relaxed) != polling.on {
            std::hint::spin_loop();
            return true;
        }
        // A longer look lets others go first. It may take their whole time slice: not where waits turned out to be long.
        if w.patience.load(Ordering::Relaxed) == 0 {
            *since = if *since == 0 { monotonic_ns() } else { *since };
            return false;
        }
        let cost = cpu().map_or(0, |cpu| cpu.words.wake_cost.load(Ordering::Relaxed));
        host(libc::SYS_sched_yield, [0; 6]);
        if polling.breaths % YIELDS != 0 {
            return true;
        }
        let now = monotonic_ns();
        if *since == 0 {
            *since = now;
        }
        now - *since < cost
    }

    fn kick(&self, answered: &dyn Fn() -> bool) -> Option<bool> {
        if !doorbell::kick() {
            return None;
        }
        let end = monotonic_ns() + ANSWER_NS;
        while !answered() {
            std::hint::spin_loop();
            if monotonic_ns() > end {
                return Some(answered());
            }
        }
        Some(true)
    }

    fn pause(&self) {
        std::hint::spin_loop();
    }
}

/// A poller's memory of this round.
#[derive(Debug)]
pub(crate) struct Polling {
    breaths: u32,
    on: u32,
}

/// The number of the host's processor we are on.
fn processor() -> u32 {
    let mut aux = 0;
    // SAFETY: rdtscp is in every x86-64 processor that has Linux's getcpu; it writes to `aux` only.
    unsafe { core::arch::x86_64::__rdtscp(&raw mut aux) };
    aux
}

/// The thread is the kernel's current one now: its request, as a call like any other.
fn serve(w: &Waiter) -> isize {
    let words = WORDS.load(Ordering::Relaxed);
    let at = std::ptr::from_ref(w).cast_mut();
    // SAFETY: the CPU is ours, and the thread's own task is current on its empty stack; nobody else has the request now.
    unsafe {
        let request = *w.request.get();
        door(at.cast(), request.nr, &raw const request.args, request.want_fd, words.cast())
    }
}

fn how(run: isize) -> Run {
    match run {
        1 => Run::Done,
        _ => Run::Idle,
    }
}

fn cpu() -> Option<Cpu<'static, Here>> {
    // SAFETY: begin() stored the address of words that live as long as the kernel.
    unsafe { WORDS.load(Ordering::Acquire).as_ref() }.map(on)
}

fn on(words: &'static Shared) -> Cpu<'static, Here> {
    Cpu { words, world: Here }
}

/// Before the kernel is booted: its words and its lkl_run(). The CPU is held by the caller.
pub(crate) fn begin(words: &'static Shared, run: usize) {
    words.cpu.store(words::HELD, Ordering::Relaxed);
    words.deadline.store(words::NEVER, Ordering::Relaxed);
    words.timer_until.store(words::NEVER, Ordering::Relaxed);
    words.waiter_until.store(words::NEVER, Ordering::Relaxed);
    words.wake_cost.store(WAKE_COST_NS, Ordering::Relaxed);
    RUN.store(run as *mut (), Ordering::Release);
    WORDS.store(std::ptr::from_ref(words).cast_mut(), Ordering::Release);
}

/// In the child of a fork: the words are the parent's, and not there.
pub(crate) fn after_fork() {
    WORDS.store(std::ptr::null_mut(), Ordering::Release);
}

/// Runs `boot`, which comes back when the kernel goes idle for the first time, and waits until calls can be made.
pub(crate) fn boot(words: &'static Shared, boot: impl FnOnce(&Waiter) -> isize) -> Result<(), Errno> {
    let w = Waiter::new(Request { nr: 0, args: [0; 6], want_fd: -1, unused: 0 });
    if let Run::Done = how(Errno::check(boot(&w))? as isize) {
        // It failed on the way, and says so in `ret`.
        w.state.store(words::DONE, Ordering::Relaxed);
    }
    on(words).booted(&w);
    Errno::check(w.ret.load(Ordering::Relaxed) as isize).map(drop)
}

/// A call by the thread of `w`.
///
/// # Safety
/// As [`crate::Kernel::call`].
#[inline]
pub(crate) unsafe fn call(
    words: &'static Shared,
    w: *mut Waiter,
    nr: i64,
    args: &[usize; 6],
    want_fd: i32,
) -> isize {
    let cpu = on(words);
    // SAFETY: the caller's promise: it is this thread's.
    let waiter = unsafe { &*w };
    if !cpu.try_take() {
        let looks = if hold_off::hold_off(words) { FEW_LOOKS } else { LOOKS };
        // SAFETY: no request of this thread is under way.
        unsafe { *waiter.request.get() = Request { nr, args: *args, want_fd, unused: 0 } };
        cpu.request(waiter, looks);
    } else if words.out.load(Ordering::Relaxed) == w {
        // SAFETY: the CPU is ours, and the thread's own task is current on its empty stack.
        let run = unsafe { door(w.cast(), nr, args, want_fd, std::ptr::from_ref(words).cast()) };
        match how(run) {
            Run::Done => cpu.leave(),
            Run::Idle => cpu.went_idle(waiter),
        }
    } else {
        // SAFETY: as above.
        unsafe { *waiter.request.get() = Request { nr, args: *args, want_fd, unused: 0 } };
        waiter.state.store(words::WAITING, Ordering::Relaxed);
        cpu.drive(waiter, true);
    }
    waiter.ret.load(Ordering::Relaxed) as isize
}

/// A request that is not a thread's call.
fn ask(words: &'static Shared, nr: i64, arg: usize) -> isize {
    let w = Waiter::new(Request { nr, args: [arg, 0, 0, 0, 0, 0], want_fd: -1, unused: 0 });
    on(words).request(&w, LOOKS);
    w.ret.load(Ordering::Relaxed) as isize
}

/// A new thread of the kernel's, for a host thread.
pub(crate) fn thread_new(words: &'static Shared) -> Result<*mut Waiter, Errno> {
    Errno::check(ask(words, THREAD_NEW, 0)).map(|w| w as *mut Waiter)
}

/// Ends it.
///
/// # Safety
/// No call of it is under way, and it is not used afterwards.
pub(crate) unsafe fn thread_exit(words: &'static Shared, w: *mut Waiter) {
    ask(words, THREAD_EXIT, w as usize);
}

/// Ends the wait of the call of `w`, on whose thread a signal handler runs.
///
/// # Safety
/// `w` is a live thread's.
pub(crate) unsafe fn interrupt(words: &'static Shared, w: *mut Waiter) {
    // SAFETY: the caller's promise.
    on(words).kick(unsafe { &*w });
}

/// Raises interrupts. From any host thread outside the kernel; not from a signal handler.
pub(crate) fn ring(bits: u64) {
    if let Some(cpu) = cpu() {
        cpu.ring(bits);
    }
}

/// The clock's thread is to look around.
pub(crate) fn wake_clock() {
    if let Some(cpu) = cpu() {
        cpu.words.timer_word.fetch_add(1, Ordering::SeqCst);
        cpu.world.wake(&raw const cpu.words.timer_word);
    }
}

/// A round of the clock's thread.
pub(crate) fn tick() {
    if let Some(cpu) = cpu() {
        cpu.tick();
    }
}

/// `ops.complete`
pub(crate) unsafe extern "C" fn complete(w: *const Waiter) {
    if let Some(cpu) = cpu() {
        // SAFETY: the kernel passes a waiter whose request is under way.
        let w = unsafe { &*w };
        w.done_on.store(processor(), Ordering::Relaxed);
        cpu.complete(w);
    }
}

/// `ops.timer_arm`
pub(crate) unsafe extern "C" fn arm(delta_ns: u64) {
    if let Some(cpu) = cpu() {
        cpu.arm(monotonic_ns().saturating_add(delta_ns), delta_ns < SOON_NS);
    }
}
