// SPDX-License-Identifier: GPL-2.0-only
//! Kicks: all threads of the program run its own code, and something is pending for the kernel.
//!
//! The thread that brings an event can always take the free CPU and deal with the event itself. A backend first asks a thread
//! of the program to do this, so that the thread with the event goes on with its own work. The thread that left the kernel
//! last is asked first, because it most likely runs. A kick is a wish: the thread may sleep in the host, or may be where it
//! cannot be diverted. The thread with the event waits for a moment and then does the work after all.
//!
//! Rules of the place: a kick comes from any host thread outside the kernel that is not in a signal handler.
//!
//! # Safety
//! The backend's cell is written once, before `HAS_BACKEND` says so, and only read afterwards.
#![allow(unsafe_code)]

use super::uintr::{Target, Uintr};
use crate::sys::{futex, signal, time};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::*};

/// A way to interrupt a thread in user code.
pub trait Doorbell: Sync {
    /// Interrupts the thread with this number (see [`register`]); false: it cannot.
    fn kick(&self, thread: u32) -> bool;
}

/// A directed signal; threads are numbered by their tid. The signal's handler diverts the thread. A thread that is
/// seen to sleep is left alone: the signal would end its host call.
#[derive(Debug, Clone, Copy)]
pub struct Signal(pub i32);

impl Doorbell for Signal {
    fn kick(&self, thread: u32) -> bool {
        is_running(thread) && signal::send_to_thread(thread, self.0).is_ok()
    }
}

/// Threads are numbered by their [`Target`]s.
impl Doorbell for Uintr {
    fn kick(&self, thread: u32) -> bool {
        Target::from_index(thread).is_some_and(|target| self.send(target))
    }
}

struct Backend(UnsafeCell<Option<&'static dyn Doorbell>>);
// SAFETY: written once, before HAS_BACKEND says so.
unsafe impl Sync for Backend {}
static BACKEND: Backend = Backend(UnsafeCell::new(None));
static HAS_BACKEND: AtomicBool = AtomicBool::new(false);
/// More threads than this are not interrupted: entries of a table of targets.
const KICK_TARGETS: usize = 256;
const FREE: u32 = u32::MAX;

/// A thread that can be interrupted. The thread alone writes `in_user`, with plain stores: this is on every call's way.
#[derive(Debug)]
#[repr(align(64))]
pub struct KickTarget {
    /// [`FREE`], or what the backend calls the thread.
    number: AtomicU32,
    in_user: AtomicBool,
}

static TARGETS: [KickTarget; KICK_TARGETS] =
    [const { KickTarget { number: AtomicU32::new(FREE), in_user: AtomicBool::new(false) } }; KICK_TARGETS];
/// The target whose thread left the kernel last.
static LAST: AtomicUsize = AtomicUsize::new(0);

/// Sets the backend of this process, once. Without a backend no thread is interrupted.
pub fn set_backend(backend: &'static dyn Doorbell) {
    if !HAS_BACKEND.load(Acquire) {
        // SAFETY: nobody reads it yet; the constructor of one process calls this.
        unsafe { *BACKEND.0.get() = Some(backend) };
        HAS_BACKEND.store(true, Release);
    }
}

/// A target for the calling thread, which is in the kernel; None: all are taken.
pub fn register(number: u32) -> Option<&'static KickTarget> {
    let target =
        TARGETS.iter().find(|target| target.number.compare_exchange(FREE, number, AcqRel, Relaxed).is_ok());
    target.inspect(|target| target.in_user.store(false, Relaxed))
}

impl KickTarget {
    /// Notes that the thread leaves the kernel for the program's code.
    #[inline]
    pub fn enter_user(&'static self) {
        self.in_user.store(true, Relaxed);
        LAST.store(
            (self as *const KickTarget as usize - TARGETS.as_ptr() as usize) / size_of::<KickTarget>(),
            Relaxed,
        );
    }

    /// Notes that the thread is back in the kernel.
    #[inline]
    pub fn leave_user(&self) {
        self.in_user.store(false, Relaxed);
    }

    /// Frees the target: its thread can be interrupted no more.
    pub fn unregister(&self) {
        self.in_user.store(false, Relaxed);
        self.number.store(FREE, Release);
    }

    /// The thread's number for the backend, while the thread is in user code.
    fn number_in_user(&self) -> Option<u32> {
        let number = self.number.load(Acquire);
        (number != FREE && self.in_user.load(Relaxed)).then_some(number)
    }
}

/// In the child of a fork: frees all targets.
pub fn reset_in_child() {
    TARGETS.iter().for_each(KickTarget::unregister);
}

/// Asks a thread in user code to come in, first the one that left last. False: no thread was asked.
pub(crate) fn kick() -> bool {
    if !HAS_BACKEND.load(Acquire) || futex::is_forbidden() {
        return false;
    }
    let last = TARGETS[LAST.load(Relaxed)].number_in_user();
    let Some(thread) = last.or_else(|| TARGETS.iter().find_map(KickTarget::number_in_user)) else {
        return false;
    };
    // SAFETY: written before HAS_BACKEND, never after.
    unsafe { *BACKEND.0.get() }.is_some_and(|backend| backend.kick(thread))
}

/// Whether a thread of this process is on a CPU: its CPU time goes on. (Its state in /proc would take a descriptor, which the
/// program could see.)
fn is_running(tid: u32) -> bool {
    let before = time::thread_cpu_ns(tid);
    before.is_ok() && time::thread_cpu_ns(tid) != before
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_runs_and_who_sleeps() {
        // SAFETY: asks only.
        let tid = || unsafe { libc::gettid() } as u32;
        assert!(is_running(tid()));
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = send.send(tid());
            std::thread::sleep(Duration::from_secs(2));
        });
        let sleeper = receive.recv().expect("a tid");
        std::thread::sleep(Duration::from_millis(50));
        assert!(!is_running(sleeper));
        assert!(!is_running(u32::MAX));
    }

    #[test]
    fn the_last_one_out_is_asked_while_it_is_out() {
        struct Asked(AtomicU32);
        impl Doorbell for Asked {
            fn kick(&self, thread: u32) -> bool {
                self.0.store(thread, SeqCst);
                true
            }
        }
        static ASKED: Asked = Asked(AtomicU32::new(0));
        let (seven, eight) = (register(7).expect("a target"), register(8).expect("another"));
        seven.enter_user();
        assert!(!kick(), "no backend");
        set_backend(&ASKED);
        let asked = || kick().then(|| ASKED.0.load(SeqCst));
        assert_eq!(asked(), Some(7));
        eight.enter_user();
        assert_eq!(asked(), Some(8));
        eight.leave_user();
        assert_eq!(asked(), Some(7));
        seven.unregister();
        assert_eq!(asked(), None);
        eight.enter_user();
        reset_in_child();
        assert_eq!(asked(), None);
    }
}
