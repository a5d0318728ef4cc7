// SPDX-License-Identifier: GPL-2.0-only
//! Which kernel this process has, in a low room: signal handlers need the kernel, and so do the rooms that boot it.
//!
//! States: NONE -> UP -> ENDING -> DOWN, FAILED if the kernel did not boot. A child of fork goes on with its parent's kernel
//! (UP) if that has anything in use. Otherwise the child starts at NONE again. Where a kernel cannot be shared, the child
//! is in LOST. Only UP lets a call through. ENDING is the end of the process (or an exec): Linux takes the other threads of the process away inside
//! their calls, so here they wait for ever. DOWN follows only where an exec failed.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use lkl::sys::futex::{self, Lock, LockGuard, Scope};
use lkl::Kernel;

use crate::sys::errno::Errno;
use crate::sys::{host, sigcalls};

/// How far the kernel of this process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum State {
    /// Not asked for yet.
    None,
    /// Running.
    Up,
    /// Ended, by an exec that failed.
    Down,
    /// The parent's, in a child of fork.
    Lost,
    /// The boot failed.
    Failed,
    /// The process ends.
    Ending,
}

const STATES: [State; 6] = [State::None, State::Up, State::Down, State::Lost, State::Failed, State::Ending];

static STATE: AtomicU32 = AtomicU32::new(State::None as u32);
static KERNEL: AtomicPtr<Kernel> = AtomicPtr::new(core::ptr::null_mut());
/// Why the kernel did not boot: an errno.
static FAILURE: AtomicI32 = AtomicI32::new(0);
/// The thread that ends the kernel.
static ENDER: AtomicU32 = AtomicU32::new(0);
/// Threads that have a task.
static TASKS: AtomicU32 = AtomicU32::new(0);
/// Boot, mounting and shutdown, one at a time.
static CHANGE: Lock = Lock::new();

/// Holds off every change of what runs and what is mounted.
pub fn change() -> LockGuard<'static> {
    CHANGE.hold()
}

/// How far the kernel is.
#[inline]
pub fn state() -> State {
    STATES[STATE.load(Ordering::Acquire) as usize]
}

/// The kernel if it runs.
#[inline]
pub fn running() -> Option<&'static Kernel> {
    if STATE.load(Ordering::Acquire) != State::Up as u32 {
        return None;
    }
    // SAFETY: null, or what the boot made, for good.
    unsafe { KERNEL.load(Ordering::Acquire).as_ref() }
}

/// Whether a kernel runs in this process, and is this process's.
pub fn is_up() -> bool {
    state() == State::Up
}

/// Whether what this process had of a kernel is out of its reach.
pub fn is_lost() -> bool {
    state() == State::Lost
}

/// The kernel runs from now on. With [`change`] held.
pub fn set_up(kernel: &'static Kernel) {
    KERNEL.store(core::ptr::from_ref(kernel).cast_mut(), Ordering::Release);
    STATE.store(State::Up as u32, Ordering::Release);
}

/// The kernel does not boot. With [`change`] held.
pub fn set_failed(why: Errno) {
    FAILURE.store(why.into_raw(), Ordering::Relaxed);
    STATE.store(State::Failed as u32, Ordering::Release);
}

/// Why the boot failed.
pub fn failure() -> Errno {
    Errno::new(FAILURE.load(Ordering::Relaxed))
}

/// The calling thread ends the kernel. With [`change`] held.
pub fn set_ending() {
    ENDER.store(host::ids().1 as u32, Ordering::Relaxed);
    STATE.store(State::Ending as u32, Ordering::Release);
}

/// The process goes on after all, because the exec failed. Its threads get EIO from now on.
pub fn end_failed() {
    let (ending, down) = (State::Ending as u32, State::Down as u32);
    if STATE.compare_exchange(ending, down, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        futex::wake(&raw const STATE, u32::MAX >> 1, Scope::Private);
    }
}

/// A thread got a task.
pub fn task_made() {
    TASKS.fetch_add(1, Ordering::Relaxed);
}

/// A thread's task is gone.
pub fn task_released() {
    TASKS.fetch_sub(1, Ordering::Relaxed);
}

/// How many threads have a task.
pub fn tasks() -> u32 {
    TASKS.load(Ordering::Relaxed)
}

/// Where a thread stays whose process is being ended by another thread. Such a thread must not return to the program,
/// which would see its calls fail, nor end the process with a status of its own.
#[inline]
pub fn park_forever_if_ending() {
    if STATE.load(Ordering::Acquire) == State::Ending as u32 {
        park();
    }
}

#[cold]
fn park() {
    if ENDER.load(Ordering::Relaxed) == host::ids().1 as u32 {
        return;
    }
    let mask = sigcalls::set_mask(!0);
    while STATE.load(Ordering::Acquire) == State::Ending as u32 {
        futex::wait(&STATE, State::Ending as u32, Scope::Private);
    }
    sigcalls::set_mask(mask);
}

/// In the child of a fork that goes on with its parent's kernel: its only thread has a task. (Another thread of the parent may
/// have begun to end the parent meanwhile: that is not the child's end.)
pub fn share_parents() {
    STATE.store(State::Up as u32, Ordering::Release);
    CHANGE.reset();
    TASKS.store(1, Ordering::Relaxed);
}

/// In the child of a fork that does not go on with its parent's kernel. `was_idle`: nothing of the kernel was in
/// use, so the child may boot one of its own when the child needs one, which most children, that only execute something,
/// do not. True: the child lost what it had of the kernel.
pub fn leave_parents(was_idle: bool) -> bool {
    CHANGE.reset();
    KERNEL.store(core::ptr::null_mut(), Ordering::Relaxed);
    TASKS.store(0, Ordering::Relaxed);
    // Ending: another thread of the parent ends it, and is not here.
    let was_up = matches!(state(), State::Up | State::Ending);
    if was_idle {
        STATE.store(State::None as u32, Ordering::Release);
    } else if was_up {
        STATE.store(State::Lost as u32, Ordering::Release);
    }
    was_up && !was_idle
}
