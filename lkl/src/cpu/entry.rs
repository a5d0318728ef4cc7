// SPDX-License-Identifier: GPL-2.0-only
//! How host threads use the virtual CPU: calls, requests, interrupts, the clock. The protocol meets the host here.
//!
//! # Safety
//! Addresses of kernel code and of the shared words come from the image that is running. `begin()` stores them, and
//! `reset_in_child()` takes the words away.
#![allow(unsafe_code)]

use super::protocol::{Begin, Cpu, Env, Run};
use super::slots::{self, CallSlot, Interruption, Request, Shared};
use super::spin::{processor, Spin};
use super::{backoff, hide, members, switch};
use crate::kick::doorbell;
use crate::sys::futex::{self, Scope};
use crate::sys::time::monotonic_ns;
use crate::sys::{process, Errno};
use std::mem::transmute;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Requests that are not calls (`asm/host.h`).
pub(super) const THREAD_NEW: i64 = -1;
pub(super) const THREAD_EXIT: i64 = -2;
pub(super) const MEMBER_EXIT: i64 = -3;
/// Looks at a held CPU before a request is posted; and at a CPU that is held again and again.
const SPIN_TRIES: u32 = 50;
const SPIN_TRIES_CONTENDED: u32 = 8;
/// How a stay in the kernel ended (`asm/host.h`).
#[cfg(test)]
pub(super) const RUN_IDLE: isize = 0;
pub(super) const RUN_DONE: isize = 1;
pub(super) const RUN_CALL: isize = 2;
pub(super) const RUN_AWAY: isize = 3;
pub(super) const RUN_DONE_AWAY: isize = 4;
/// A nearer deadline than this is looked at on the way out of the kernel, which comes sooner than a woken thread.
const SOON_NS: u64 = 1_000_000;
/// How long a kicked thread may take: several times a signal's way. Then it sleeps, or cannot be diverted.
const ANSWER_NS: u64 = 100_000;
/// What a wake-up costs, until it has been measured.
const WAKE_COST_NS: u64 = 10_000;

/// The kernel's words, once there are any.
static WORDS: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());
/// lkl_run()
static RUN: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// The host, and the kernel of this process.
struct Host;

impl Env for Host {
    type Spin = Spin;

    fn run(&self, driver: Option<&CallSlot>, begin: Begin) -> Run {
        type Entry = unsafe extern "C" fn(*const CallSlot, i32) -> isize;
        let at = driver.map_or(std::ptr::null(), std::ptr::from_ref);
        // The dead member's number is there already.
        if driver.is_none() && begin != Begin::Died {
            if let Some(cpu) = cpu() {
                cpu.words.home.store(self.me(), Ordering::Relaxed);
            }
        }
        // SAFETY: begin() stored a function of this type; the caller holds the CPU.
        let run = unsafe { transmute::<*mut (), Entry>(RUN.load(Ordering::Relaxed))(at, how_to(begin)) };
        match driver {
            Some(w) if run == RUN_CALL => how(serve(w)),
            _ => how(run),
        }
    }

    fn sleep(&self, word: &AtomicU32, value: u32, until: u64) {
        match until {
            slots::NEVER => futex::wait(word, value, Scope::Shared),
            until => futex::wait_until(word, value, until, Scope::Shared),
        }
    }

    fn wake(&self, word: *const AtomicU32) {
        futex::wake(word, 1, Scope::Shared);
    }

    fn now(&self) -> u64 {
        monotonic_ns()
    }

    fn begin_spin(&self) -> Spin {
        Spin::begin()
    }

    fn spin_once(&self, w: &CallSlot, spin: &mut Spin, since: &mut u64) -> bool {
        let wake_cost_ns = || cpu().map_or(0, |cpu| cpu.words.wake_cost_ns.load(Ordering::Relaxed));
        spin.spin_once(w, since, wake_cost_ns)
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

    fn give_way(&self) {
        process::yield_now();
    }

    fn me(&self) -> u32 {
        members::me()
    }

    fn may_take(&self) -> bool {
        !members::has_left()
    }

    fn is_dead(&self, member: u32) -> bool {
        cpu().is_some_and(|cpu| members::is_dead(cpu.words, member))
    }

    fn look_after_members(&self, w: Option<&CallSlot>) {
        if let Some(cpu) = cpu() {
            members::look_after(cpu.words, w);
        }
    }

    fn look_after_clock(&self) {
        if let Some(cpu) = cpu() {
            members::look_after_clock(cpu.words);
        }
    }
}

/// `LKL_LOOK` and so on (`asm/host.h`).
pub(super) const fn how_to(begin: Begin) -> i32 {
    match begin {
        Begin::Look => 0,
        Begin::Post => 1,
        Begin::Resume => 2,
        Begin::Adopt => 3,
        Begin::Died => 4,
    }
}

/// Serves the request of a thread that is the kernel's current one now, as a call like any other.
fn serve(w: &CallSlot) -> isize {
    let words = WORDS.load(Ordering::Relaxed);
    let at = std::ptr::from_ref(w).cast_mut();
    // SAFETY: the CPU is ours, and the thread's own task is current on its empty stack; nobody else has the request now.
    unsafe {
        let request = *w.request.get();
        switch::switch(at.cast(), request.nr, &raw const request.args, request.want_fd, words.cast())
    }
}

fn how(run: isize) -> Run {
    match run {
        RUN_DONE => Run::Done,
        RUN_AWAY => Run::Away,
        RUN_DONE_AWAY => Run::DoneAway,
        _ => Run::Idle,
    }
}

fn cpu() -> Option<Cpu<'static, Host>> {
    // SAFETY: begin() stored the address of words that live as long as the kernel.
    unsafe { WORDS.load(Ordering::Acquire).as_ref() }.map(on)
}

/// The kernel's words, once there are any.
pub(super) fn words() -> Option<&'static Shared> {
    cpu().map(|cpu| cpu.words)
}

/// The first of the kernel's network interfaces.
pub(crate) fn net_links() -> Option<&'static AtomicPtr<()>> {
    words().map(|words| &words.net_links)
}

fn on(words: &'static Shared) -> Cpu<'static, Host> {
    Cpu { words, env: Host }
}

/// Before the kernel is booted: its words and its lkl_run(). The CPU is held by the caller.
pub(crate) fn begin(words: &'static Shared, run: usize, askers: usize) {
    members::begin(askers);
    words.cpu.store(members::me() | slots::ENTERED, Ordering::Relaxed);
    words.clock_home.store(members::me(), Ordering::Relaxed);
    words.deadline.store(slots::NEVER, Ordering::Relaxed);
    words.timer_until.store(slots::NEVER, Ordering::Relaxed);
    words.waiter_until.store(slots::NEVER, Ordering::Relaxed);
    words.wake_cost_ns.store(WAKE_COST_NS, Ordering::Relaxed);
    attach(words, run);
}

/// This process uses a kernel that another process has booted, or is booting.
fn attach(words: &'static Shared, run: usize) {
    RUN.store(run as *mut (), Ordering::Release);
    WORDS.store(std::ptr::from_ref(words).cast_mut(), Ordering::Release);
}

/// This process was the member `number` before it executed this program. Its threads were taken away: outside of the kernel
/// ([`hold_off`]), but perhaps with the CPU.
pub(crate) fn attach_after_exec(words: &'static Shared, run: usize, askers: usize, number: u32) {
    members::attach(askers, number);
    hide::is_over(words.member(number));
    attach(words, run);
    on(words).take_leftovers();
}

/// Until [`go_on`] no thread of this process takes the CPU. When this returns, none has it.
pub(crate) fn hold_off(words: &'static Shared) {
    members::leave();
    while on(words).is_ours() {
        process::yield_now();
    }
}

/// The member that has the CPU, or is to take it; `None`: nobody has.
pub(crate) fn holder(words: &'static Shared) -> Option<u32> {
    on(words).holder()
}

/// Runs `work` with the CPU held and nobody in the kernel, if that can be had in `patience_ns`; else just so.
pub(crate) fn with_nobody_inside<T>(words: &'static Shared, patience_ns: u64, work: impl FnOnce() -> T) -> T {
    let cpu = on(words);
    let until = monotonic_ns().saturating_add(patience_ns);
    let mut looks = 0u32;
    while !cpu.try_take() {
        looks += 1;
        if looks % 64 == 0 {
            if monotonic_ns() > until {
                return work();
            }
            process::yield_now();
        }
        std::hint::spin_loop();
    }
    let done = work();
    cpu.leave();
    done
}

/// Threads of this process may take the CPU again; the calling one looks at what is pending.
pub(crate) fn go_on(words: &'static Shared) {
    members::come_back();
    on(words).look();
}

/// In the child of a fork: the words are the parent's, and not there.
pub(crate) fn reset_in_child() {
    WORDS.store(std::ptr::null_mut(), Ordering::Release);
}

/// Runs `boot`, which comes back when the kernel goes idle for the first time, and waits until calls can be made.
pub(crate) fn boot(words: &'static Shared, boot: impl FnOnce(&CallSlot) -> isize) -> Result<(), Errno> {
    let w = CallSlot::new(Request { nr: 0, args: [0; 6], want_fd: -1, pad: 0 }, members::me());
    if let Run::Done = how(crate::sys::check(boot(&w))? as isize) {
        // It failed on the way, and says so in `ret`.
        w.state.store(slots::DONE, Ordering::Relaxed);
    }
    on(words).booted(&w);
    crate::sys::check(w.ret.load(Ordering::Relaxed) as isize)?;
    members::has_begun(words);
    Ok(())
}

/// A call by the thread of `w`.
///
/// # Safety
/// As [`crate::Kernel::call`].
#[inline]
pub(crate) unsafe fn call(
    words: &'static Shared,
    w: *mut CallSlot,
    nr: i64,
    args: &[usize; 6],
    want_fd: i32,
) -> isize {
    let cpu = on(words);
    // SAFETY: the caller's promise: it is this thread's.
    let waiter = unsafe { &*w };
    if !cpu.try_take() {
        let tries = if backoff::back_off(words) { SPIN_TRIES_CONTENDED } else { SPIN_TRIES };
        // SAFETY: no request of this thread is under way.
        unsafe { *waiter.request.get() = Request { nr, args: *args, want_fd, pad: 0 } };
        cpu.request(waiter, tries);
    } else if words.current_in_user.load(Ordering::Relaxed) == w {
        words.cpu.store(members::me() | slots::ENTERED, Ordering::Relaxed);
        // SAFETY: the CPU is ours, and the thread's own task is current on its empty stack.
        let run = unsafe { switch::switch(w.cast(), nr, args, want_fd, std::ptr::from_ref(words).cast()) };
        words.cpu.store(members::me(), Ordering::Relaxed);
        match how(run) {
            Run::Done => cpu.leave(),
            Run::Idle => cpu.went_idle(waiter),
            Run::Away => cpu.went_away(waiter),
            Run::DoneAway => cpu.done_and_away(),
        }
    } else {
        // SAFETY: as above.
        unsafe { *waiter.request.get() = Request { nr, args: *args, want_fd, pad: 0 } };
        waiter.state.store(slots::WAITING, Ordering::Relaxed);
        cpu.drive(waiter, Begin::Post);
    }
    waiter.ret.load(Ordering::Relaxed) as isize
}

/// Makes a request that is not a thread's call.
fn ask(words: &'static Shared, nr: i64, args: [usize; 2]) -> isize {
    let request = Request { nr, args: [args[0], args[1], 0, 0, 0, 0], want_fd: -1, pad: 0 };
    members::with_asker(request, |w| on(words).request(w, SPIN_TRIES))
}

/// A new thread of the kernel's, for a host thread.
pub(crate) fn thread_new(words: &'static Shared) -> Result<*mut CallSlot, Errno> {
    crate::sys::check(ask(words, THREAD_NEW, [0; 2])).map(|w| w as *mut CallSlot)
}

/// All tasks of a member end: its files are closed when this returns. EBUSY: it lives, and no other member does.
pub(crate) fn member_exit(words: &'static Shared, number: u32, is_dead: bool) -> Result<(), Errno> {
    crate::sys::check(ask(words, MEMBER_EXIT, [number as usize, usize::from(is_dead)])).map(drop)
}

/// As [`member_exit`] of a member that is dead, without waiting: the clock's thread does not wait for what may need the clock.
pub(crate) fn member_exit_later(words: &'static Shared, number: u32) {
    let request = Request { nr: MEMBER_EXIT, args: [number as usize, 1, 0, 0, 0, 0], want_fd: -1, pad: 0 };
    members::ask_later(words, request, |w| on(words).post_alone(w));
}

/// When this returns, no thread of this process is in the kernel, or will be.
pub(crate) fn leave_for_good(words: &'static Shared) {
    on(words).leave_for_good(members::leave);
}

/// Ends a thread of the kernel's.
///
/// # Safety
/// No call of the thread is under way, and `w` is not used afterwards.
pub(crate) unsafe fn thread_exit(words: &'static Shared, w: *mut CallSlot) {
    ask(words, THREAD_EXIT, [w as usize, 0]);
}

/// Ends the wait of the call of `w`, on whose thread a signal handler runs.
///
/// # Safety
/// `w` is a live thread's.
pub(crate) unsafe fn interrupt(words: &'static Shared, w: *mut CallSlot, by: Interruption) {
    // SAFETY: the caller's promise.
    on(words).interrupt_wait(unsafe { &*w }, by);
}

/// Raises interrupts. From any host thread outside the kernel; not from a signal handler.
pub(crate) fn raise_irq(bits: u64) {
    if let Some(cpu) = cpu() {
        cpu.raise_irq(bits);
    }
}

/// The member `number` is the process `pid`.
pub(crate) fn member_is(words: &Shared, number: u32, pid: u32) {
    members::is_process(words, number, pid);
    // The clock's thread may sleep for long: it looks after the members from now on.
    wake_clock();
}

/// The clock's thread is to look around.
pub(crate) fn wake_clock() {
    if let Some(cpu) = cpu() {
        cpu.words.timer_word.fetch_add(1, Ordering::SeqCst);
        cpu.env.wake(&raw const cpu.words.timer_word);
    }
}

/// A round of the clock's thread.
pub(crate) fn tick() {
    if let Some(cpu) = cpu() {
        cpu.tick();
    }
}

/// `ops.complete`
pub(crate) unsafe extern "C" fn complete(w: *const CallSlot) {
    if let Some(cpu) = cpu() {
        // SAFETY: the kernel passes a waiter whose request is under way.
        let w = unsafe { &*w };
        w.completed_on_cpu.store(processor(), Ordering::Relaxed);
        cpu.complete(w);
    }
}

/// `ops.hide_away`
pub(crate) unsafe extern "C" fn hide_away(member: u32, addr: usize, len: usize) -> i64 {
    let Some(words) = words() else { return 0 };
    hide::hide_away(words, member, addr, len).map_or_else(|e| -i64::from(e.into_raw()), |()| 0)
}

/// `ops.timer_arm`
pub(crate) unsafe extern "C" fn arm(delta_ns: u64) {
    if let Some(cpu) = cpu() {
        cpu.arm(monotonic_ns().saturating_add(delta_ns), delta_ns < SOON_NS);
    }
}
