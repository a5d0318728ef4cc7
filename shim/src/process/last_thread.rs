// SPDX-License-Identifier: GPL-2.0-only
//! The end of a program whose filter allows no exit_group(2) of ours: strict mode has exit(2) alone, and threads of this library
//! are in the process. A thread without the filter waits until the program's only thread has ended, and ends the process.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use lkl::sys::futex::{self, Scope};
use lkl::sys::helper_thread::HelperThread;

use crate::process::alone::is_last_thread;
use crate::signals::end::die_alone;
use crate::sys::host;
use crate::sys::kernel::running;
use crate::sys::sigcalls;

/// The id of the thread that ends; the host stores 0 and wakes the word at its end.
static THREAD: AtomicU32 = AtomicU32::new(0);
/// What the thread ended with, or [`KILLED`].
static STATUS: AtomicUsize = AtomicUsize::new(KILLED);
/// The thread made a call that is forbidden.
const KILLED: usize = usize::MAX;
/// The signal that such a call ends the process with.
static SIGNAL: AtomicI32 = AtomicI32::new(libc::SIGKILL);

struct Watcher(UnsafeCell<Option<HelperThread>>);
// SAFETY: touched by the program's only thread: before its filter, and in the child of a fork.
unsafe impl Sync for Watcher {}
static WATCHER: Watcher = Watcher(UnsafeCell::new(None));

/// The calling thread is about to be confined; a forbidden call ends it with `signal`. Nothing happens if it is not the program's only one, or no thread of ours is there.
pub fn watch(signal: i32) {
    if running().is_none() || THREAD.load(Ordering::Relaxed) != 0 || !is_last_thread() {
        return;
    }
    SIGNAL.store(signal, Ordering::Relaxed);
    THREAD.store(host::ids().1 as u32, Ordering::SeqCst);
    let Ok(thread) = HelperThread::spawn(c"stowaway-end", run, 0) else { return };
    // SAFETY: the program's only thread.
    unsafe { *WATCHER.0.get() = Some(thread) };
    // SAFETY: a word that stays. Whoever waited for libc's word would be a thread, and there is none.
    let _ = unsafe { host::call(libc::SYS_set_tid_address, &[THREAD.as_ptr() as usize]) };
}

/// The calling thread is about to end with `status`.
pub fn ends_with(status: usize) {
    STATUS.store(status, Ordering::Relaxed);
}

/// In the child of a fork: the thread is the parent's.
pub fn forget_in_child() {
    THREAD.store(0, Ordering::Relaxed);
    // SAFETY: the only thread.
    if let Some(thread) = unsafe { (*WATCHER.0.get()).take() } {
        thread.forget();
    }
}

extern "C" fn run(_: usize) {
    const LOOK_NS: i64 = 10_000_000;
    loop {
        match THREAD.load(Ordering::SeqCst) {
            0 => break,
            tid => futex::wait(&THREAD, tid, Scope::Shared),
        }
    }
    // A thread that the program made meanwhile goes on.
    while !is_last_thread() {
        host::sleep_ns(LOOK_NS);
    }
    match STATUS.load(Ordering::Relaxed) {
        KILLED => die_by(SIGNAL.load(Ordering::Relaxed)),
        status => host::exit_group(status),
    }
}

fn die_by(signal: i32) -> ! {
    if signal == libc::SIGKILL {
        sigcalls::raise(signal);
    }
    die_alone(signal)
}
