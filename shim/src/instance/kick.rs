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
use core::sync::atomic::{compiler_fence, AtomicBool, Ordering};

use lkl::uintr::{self, Emulator, Target, Uintr};
use once_cell::sync::OnceCell;
use stowaway_config::Doorbell;
use trampoline::divert;

use crate::signals::deliver::deliver_noted;
use crate::signals::{actions, cancel, claimed};
use crate::sys::errno::{Explained, Result};
use crate::sys::kernel::{park_forever_if_ending, running};
use crate::sys::report::{say, say_once};
use crate::sys::settings::settings;
use crate::sys::sigcalls::{self, bit};
use crate::sys::thread::{self, Thread};
use crate::sys::{host, mem};

/// The signal that kicks: one that neither libc nor most programs use.
const KICK: c_int = 61;

/// How threads are interrupted.
enum Backend {
    Signal(lkl::doorbell::Signal),
    Uintr(Uintr),
}

static BACKEND: OnceCell<Backend> = OnceCell::new();
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Whether threads are interrupted at all.
#[inline]
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// The name of the backend, as in the settings.
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

fn probe() -> core::result::Result<Uintr, uintr::Unavailable> {
    if let Some(emulator) = Emulator::find() {
        // SAFETY: the gate is a host call; nothing else runs yet.
        unsafe { (emulator.start)(trampoline::gate::RAW, Emulator::QUIET) };
    }
    uintr::probe()
}

/// After calls are dispatched: signals, and the landing.
pub fn start() {
    let Some(backend) = BACKEND.get() else { return };
    let signals = match backend {
        Backend::Signal(_) => bit(KICK),
        Backend::Uintr(found) => {
            let traps = bit(libc::SIGILL) | bit(libc::SIGSEGV);
            found.emulator().map_or(0, |emulator| bit(emulator.notify) | traps)
        }
    };
    claimed::claim(signals, on_signal);
    actions::install_claimed();
    sigcalls::unblock(signals);
    divert::prepare(answer, [cancel::library(), 0..0]);
    match backend {
        Backend::Signal(way) => lkl::doorbell::set_backend(way),
        Backend::Uintr(way) => lkl::doorbell::set_backend(way),
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
pub fn enroll(thread: &'static Thread) {
    let Some(backend) = BACKEND.get() else { return };
    if !is_on() || !trampoline::is_installed() || number(thread).is_some() {
        return;
    }
    // SAFETY: the guard is there until withdraw(), which comes before the guard is freed.
    unsafe { divert::enroll(&raw const thread.inside) };
    let number = match backend {
        Backend::Signal(_) => Ok(host::ids().1 as u32),
        Backend::Uintr(uintr) => register(uintr, thread),
    };
    match number {
        Ok(number) => {
            thread.kick_number.store(u64::from(number) + 1, Ordering::Relaxed);
            let target = lkl::doorbell::register(number)
                .map_or(core::ptr::null_mut(), |target| core::ptr::from_ref(target).cast_mut());
            thread.kick_target.store(target, Ordering::Relaxed);
        }
        Err(e) => say_once!("a thread cannot receive user interrupts: {}", Explained(e)),
    }
}

/// How the doorbell knows the thread.
fn number(thread: &Thread) -> Option<u32> {
    thread.kick_number.load(Ordering::Relaxed).checked_sub(1).map(|number| number as u32)
}

/// Where the doorbell finds the thread.
#[inline]
fn target(thread: &Thread) -> Option<&'static lkl::doorbell::KickTarget> {
    // SAFETY: null, or what the doorbell gave for good.
    unsafe { thread.kick_target.load(Ordering::Relaxed).as_ref() }
}

/// Makes the calling thread a receiver; its number.
fn register(uintr: &Uintr, thread: &Thread) -> Result<u32> {
    let stack = mem::map(divert::INTERRUPT_STACK_BYTES)?;
    let top = stack + divert::INTERRUPT_STACK_BYTES;
    let handler = divert::user_interrupt_handler();
    // SAFETY: the handler keeps to the rules; the stack is for it alone.
    match unsafe { uintr.register(handler, top, divert::INTERRUPT_STACK_BYTES) } {
        Ok(target) => {
            thread.interrupt_stack.store(stack, Ordering::Relaxed);
            Ok(target.index())
        }
        Err(e) => {
            // SAFETY: fresh, and no interrupt can come.
            unsafe { mem::unmap(stack, divert::INTERRUPT_STACK_BYTES) };
            Err(e)
        }
    }
}

/// The calling thread's state goes. Comes before `thread::discard`.
pub fn withdraw() {
    let Some(thread) = thread::current() else { return };
    let Some(number) = number(thread) else { return };
    let target = target(thread);
    forget(thread);
    if let Some(target) = target {
        target.unregister();
    }
    if let (Some(Backend::Uintr(uintr)), Some(target)) = (BACKEND.get(), Target::from_index(number)) {
        uintr.unregister(target);
        // SAFETY: no interrupt can come any more.
        unsafe {
            mem::unmap(thread.interrupt_stack.load(Ordering::Relaxed), divert::INTERRUPT_STACK_BYTES);
        }
    }
}

/// The thread is not to be interrupted any more.
fn forget(thread: &Thread) {
    thread.kick_target.store(core::ptr::null_mut(), Ordering::Relaxed);
    if thread.kick_number.swap(0, Ordering::Relaxed) != 0 {
        // SAFETY: nobody is diverted any more.
        unsafe { divert::enroll(core::ptr::null()) };
    }
}

/// In the child of a fork, before the state of its only thread is used or discarded: nothing of it is inherited.
pub fn forget_in_child() {
    let Some(backend) = BACKEND.get() else { return };
    if let Some(thread) = thread::current() {
        forget(thread);
    }
    lkl::doorbell::reset_in_child();
    if let Backend::Uintr(uintr) = backend {
        uintr.reset_in_child();
    }
}

/// The calling thread is in a section.
#[inline]
pub fn leave_user(thread: &Thread) {
    if let Some(target) = target(thread) {
        target.leave_user();
    }
}

/// The calling thread leaves a section.
#[inline]
pub fn enter_user(thread: &Thread) {
    if let Some(target) = target(thread) {
        target.enter_user();
    }
}

/// In a signal handler, for a claimed signal: whether the signal was one of ours, and is dealt with.
fn on_signal(sig: c_int, context: *mut c_void) -> bool {
    let uc = context.cast::<libc::ucontext_t>();
    match BACKEND.get() {
        Some(Backend::Signal(_)) => {
            if thread::current().is_some_and(|thread| number(thread).is_some()) {
                // SAFETY: the host's context; a thread with a block, for only such have a number.
                divert::redirect(unsafe { &mut *uc });
            }
            true
        }
        Some(Backend::Uintr(uintr)) => match uintr.emulator() {
            // SAFETY: the host's context, in which the signals are blocked (see actions::claim).
            Some(emulator) if sig == libc::SIGILL || sig == libc::SIGSEGV => unsafe {
                (emulator.on_illegal)(uc)
            },
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
    let Some(kernel) = running().filter(|_| !thread.task().is_null()) else { return };
    thread.inside.store(1, Ordering::Relaxed);
    leave_user(thread);
    compiler_fence(Ordering::SeqCst);
    // SAFETY: the task is this thread's own, which was not inside.
    unsafe { kernel.call(thread.task(), libc::SYS_getppid, &[0; 6], -1) };
    park_forever_if_ending();
    compiler_fence(Ordering::SeqCst);
    thread.inside.store(0, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    enter_user(thread);
    deliver_noted(thread);
}
