// SPDX-License-Identifier: GPL-2.0-only
//! Threads of the program that the kernel may interrupt in the program's own code: by user interrupts where there are any,
//! or by a signal if that was asked for (`lkl::doorbell`). Such a thread is diverted (`trampoline::divert`) to [`answer`],
//! looks into the kernel, and goes on.
//!
//! A thread is one of them from its first kernel task to its end. The guard is its `inside`: in a section it looks anyway.
//!
//! Where user interrupts are emulated (a preloaded tests/softuintr), its two signals are ours, and never blocked.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::sync::atomic::{compiler_fence, AtomicBool, AtomicU64, Ordering};

use lkl::uintr::{self, Emulator, Target, Uintr};
use once_cell::sync::OnceCell;
use stowaway_config::Doorbell;
use trampoline::divert;

use crate::instance::boot;
use crate::signals::{actions, cancel};
use crate::sys::errno;
use crate::sys::host;
use crate::sys::host::Ret;
use crate::sys::report::{say, say_once};
use crate::sys::settings::settings;
use crate::sys::thread::{self, Thread};

/// The signal that kicks: one that neither libc nor most programs use.
const KICK: c_int = 61;

/// How threads are interrupted.
enum Backend {
    Signal(lkl::doorbell::Signal),
    Uintr(Uintr),
}

static BACKEND: OnceCell<Backend> = OnceCell::new();
static IS_ON: AtomicBool = AtomicBool::new(false);
/// Signals that are ours alone.
static SIGNALS: AtomicU64 = AtomicU64::new(0);

/// Whether threads are interrupted at all.
#[inline]
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// The signals that no mask of the program may block on the host.
pub fn signals() -> u64 {
    SIGNALS.load(Ordering::Relaxed)
}

/// What it is called.
pub fn name() -> &'static str {
    match BACKEND.get() {
        None => "futex",
        Some(Backend::Signal(_)) => "signal",
        Some(Backend::Uintr(uintr)) if uintr.is_emulated() => "uintr (emulated)",
        Some(Backend::Uintr(_)) => "uintr",
    }
}

/// Finds out what there is. In the constructor, before calls are dispatched.
pub fn find() {
    let asked = settings().doorbell;
    if !settings().is_active() {
        return;
    }
    match asked {
        Doorbell::Futex => {}
        Doorbell::Signal => {
            let _ = BACKEND.set(Backend::Signal(lkl::doorbell::Signal(KICK)));
        }
        Doorbell::Auto | Doorbell::Uintr => match probe() {
            Ok(found) => {
                let _ = BACKEND.set(Backend::Uintr(found));
            }
            Err(why) if asked == Doorbell::Uintr => {
                say!("doorbell=uintr: {why}: whoever brings an event deals with it")
            }
            Err(_) => {}
        },
    }
}

fn probe() -> Result<Uintr, uintr::Why> {
    if let Some(emulator) = Emulator::find() {
        // SAFETY: the gate is a host call; nothing else runs yet.
        unsafe { (emulator.start)(trampoline::gate::RAW, Emulator::QUIET) };
    }
    uintr::probe(trampoline::gate::RAW)
}

/// After calls are dispatched: signals, and the landing.
pub fn start() {
    let Some(backend) = BACKEND.get() else { return };
    let signals = match backend {
        Backend::Signal(_) => actions::bit(KICK),
        Backend::Uintr(found) => {
            found.emulator().map_or(0, |emulator| actions::bit(emulator.notify) | actions::bit(libc::SIGILL))
        }
    };
    SIGNALS.store(signals, Ordering::Relaxed);
    (1..=64).filter(|&sig| signals & actions::bit(sig) != 0).for_each(actions::claim);
    host::call(libc::SYS_rt_sigprocmask, &[libc::SIG_UNBLOCK as usize, &raw const signals as usize, 0, 8]);
    divert::prepare(answer, [cancel::library(), 0..0]);
    match backend {
        Backend::Signal(way) => lkl::doorbell::hang(way),
        Backend::Uintr(way) => lkl::doorbell::hang(way),
    }
    IS_ON.store(true, Ordering::Release);
}

/// A kernel is up: nobody is diverted on its stacks either.
pub fn kernel_is_up(kernel: &lkl::Kernel) {
    if is_on() {
        divert::prepare(answer, [cancel::library(), kernel.region()]);
    }
}

/// The calling thread has a task now.
pub fn enroll(thread: &mut Thread) {
    let Some(backend) = BACKEND.get() else { return };
    if !is_on() || !trampoline::is_installed() || thread.number.is_some() {
        return;
    }
    // SAFETY: the guard is there until withdraw(), which whoever frees it calls first.
    unsafe { divert::enroll(&raw const thread.inside) };
    thread.number = match backend {
        Backend::Signal(_) => Some(host::ids().1 as u32),
        Backend::Uintr(uintr) => {
            let number = register(uintr, thread);
            if let Err(e) = number {
                say_once!("a thread cannot receive user interrupts: {}", errno::name(e));
            }
            number.ok()
        }
    };
    thread.seat = thread.number.and_then(lkl::doorbell::sit_down);
}

/// Makes the calling thread a receiver; its number, or -errno.
fn register(uintr: &Uintr, thread: &mut Thread) -> Result<u32, Ret> {
    let stack = host::map(divert::INTERRUPT_STACK_BYTES);
    if stack < 0 {
        return Err(stack);
    }
    let top = stack as usize + divert::INTERRUPT_STACK_BYTES;
    let handler = divert::user_interrupt_handler();
    // SAFETY: the handler keeps to the rules; the stack is for it alone.
    match unsafe { uintr.register(handler, top, divert::INTERRUPT_STACK_BYTES) } {
        Ok(target) => {
            thread.interrupt_stack = stack as usize;
            Ok(target.index())
        }
        Err(e) => {
            host::unmap(stack as usize, divert::INTERRUPT_STACK_BYTES);
            Err(-(e.0 as isize))
        }
    }
}

/// The calling thread's state goes.
pub fn withdraw(thread: &mut Thread) {
    let Some(number) = thread.number.take() else { return };
    // SAFETY: nobody is diverted any more.
    unsafe { divert::enroll(core::ptr::null()) };
    if let Some(seat) = thread.seat.take() {
        seat.stand_up();
    }
    if let (Some(Backend::Uintr(uintr)), Some(target)) = (BACKEND.get(), Target::from_index(number)) {
        uintr.unregister(target);
        host::unmap(thread.interrupt_stack, divert::INTERRUPT_STACK_BYTES);
    }
}

/// In the child of a fork, before its only thread's state is used or discarded: nothing of it is inherited.
pub fn after_fork() {
    let Some(backend) = BACKEND.get() else { return };
    if let Some(thread) = thread::current() {
        thread.seat = None;
        if thread.number.take().is_some() {
            // SAFETY: nobody is diverted any more.
            unsafe { divert::enroll(core::ptr::null()) };
        }
    }
    lkl::doorbell::after_fork();
    if let Backend::Uintr(uintr) = backend {
        uintr.after_fork();
    }
}

/// The calling thread is in a section.
#[inline]
pub fn back(thread: &Thread) {
    if let Some(seat) = thread.seat {
        seat.back();
    }
}

/// The calling thread leaves a section.
#[inline]
pub fn out(thread: &Thread) {
    if let Some(seat) = thread.seat {
        seat.out();
    }
}

/// In a signal handler: whether the signal was one of ours, and is dealt with.
pub fn on_signal(sig: c_int, context: *mut c_void) -> bool {
    if signals() & actions::bit(sig) == 0 {
        return false;
    }
    let uc = context.cast::<libc::ucontext_t>();
    match BACKEND.get() {
        Some(Backend::Signal(_)) => {
            if thread::current().is_some_and(|thread| thread.number.is_some()) {
                // SAFETY: the host's context; a thread with a block, for only such have a number.
                divert::redirect(unsafe { &mut *uc });
            }
            true
        }
        Some(Backend::Uintr(uintr)) => match uintr.emulator() {
            // SAFETY: the host's context, in which both signals are blocked (see actions::claim).
            Some(emulator) if sig == libc::SIGILL => unsafe { (emulator.on_illegal)(uc) },
            Some(emulator) => {
                // SAFETY: as above.
                unsafe { (emulator.on_notify)(uc) };
                true
            }
            None => false,
        },
        None => false,
    }
}

/// What a diverted thread does, on our stack: one call into the kernel, which looks at what is pending on its way.
extern "C" fn answer() {
    let Some(thread) = thread::current() else { return };
    let Some(kernel) = boot::running().filter(|_| !thread.task.is_null()) else { return };
    thread.inside.store(1, Ordering::Relaxed);
    back(thread);
    compiler_fence(Ordering::SeqCst);
    // SAFETY: the task is this thread's own, which was not inside.
    unsafe { kernel.call(thread.task, libc::SYS_getppid, &[0; 6], -1) };
    boot::stay_if_ending();
    compiler_fence(Ordering::SeqCst);
    thread.inside.store(0, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    out(thread);
    actions::deliver_noted(thread);
}
