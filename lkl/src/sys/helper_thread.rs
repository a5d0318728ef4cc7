// SPDX-License-Identifier: GPL-2.0-only
//! Threads of this library: made by a bare `clone`, without TLS of their own, on a stack of this library.
//!
//! Helper threads call the host through the gate, may raise the kernel's interrupts, and drive its CPU. So a helper
//! thread may be the one on which a call of the application meets a bad pointer: all signals are blocked but those of
//! faults. The threads share their maker's TLS and use none.
//!
//! # Safety
//! A thread's `Top` lies at the upper end of its stack, which is unmapped by [`HelperThread::join`] and
//! [`HelperThread::forget`] only.
#![allow(unsafe_code)]

use super::helper_stacks::{self, PLACES, STACK_BYTES};
use super::memory::{self, Stack};
use super::{futex, gate, process, signal, Errno};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// How many threads there are.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// The ids of the threads that run; more places than there are ever threads.
static IDS: [AtomicU32; PLACES] = [const { AtomicU32::new(0) }; PLACES];

/// The signals of faults, as a mask.
const FAULTS: u64 = signal::bit(libc::SIGSEGV)
    | signal::bit(libc::SIGBUS)
    | signal::bit(libc::SIGFPE)
    | signal::bit(libc::SIGILL);

/// What lies at the top of a thread's stack.
#[repr(C, align(64))]
struct Top {
    /// The thread's id; the host stores 0 and wakes the word when the thread's last instruction has run.
    tid: AtomicU32,
    name: &'static CStr,
    run: extern "C" fn(usize),
    arg: usize,
}

/// A helper thread that can be waited for.
#[derive(Debug, Clone, Copy)]
pub struct HelperThread {
    base: usize,
}

std::arch::global_asm!(include_str!("helper_thread.S"), begin = sym begin);

extern "C" {
    fn stowaway_lkl_helper_start();
}

extern "C" fn begin(top: &'static Top) -> ! {
    process::set_thread_name(top.name);
    enlist(top.tid.load(Ordering::Relaxed), std::ptr::from_ref(top) as usize);
    signal::set_mask(!FAULTS);
    (top.run)(top.arg);
    signal::set_mask(u64::MAX);
    strike(top.tid.load(Ordering::Relaxed));
    process::exit_thread()
}

fn enlist(tid: u32, top: usize) {
    let free = |slot: &AtomicU32| slot.compare_exchange(0, tid, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    if let Some(place) = IDS.iter().position(free) {
        helper_stacks::set_top(place, top);
    }
}

fn strike(tid: u32) {
    for (place, slot) in IDS.iter().enumerate() {
        if slot.load(Ordering::Relaxed) == tid {
            helper_stacks::set_top(place, 0);
            let _ = slot.compare_exchange(tid, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// Whether the thread `tid` of this process is a helper thread. Nothing that the application is sent may be delivered
/// to a helper thread. Async-signal-safe.
pub fn is_helper_thread(tid: usize) -> bool {
    IDS.iter().any(|slot| slot.load(Ordering::Relaxed) as usize == tid)
}

/// How many threads of the process are helper threads.
pub fn helper_threads() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

impl HelperThread {
    /// Starts a thread that runs `run(arg)` and ends.
    pub fn spawn(name: &'static CStr, run: extern "C" fn(usize), arg: usize) -> Result<HelperThread, Errno> {
        let stack = Stack::new(STACK_BYTES)?;
        let top = (stack.top() - size_of::<Top>()) as *mut Top;
        let entry = top as usize - 16;
        // SAFETY: fresh memory of ours, aligned: the top is page-aligned and Top's size a multiple of 64.
        unsafe {
            top.write(Top { tid: AtomicU32::new(0), name, run, arg });
            (entry as *mut usize).write(stowaway_lkl_helper_start as *const () as usize);
            ((entry + 8) as *mut usize).write(top as usize);
        }
        let was = signal::set_mask(u64::MAX);
        // SAFETY: the child gets the stack laid out above.
        let mut made = unsafe { clone(entry, top as usize) };
        if made == Err(Errno::EAGAIN) {
            // The soft limit of processes is the program's, not ours.
            let _limit = process::RaisedLimit::raise(libc::RLIMIT_NPROC);
            // SAFETY: as above.
            made = unsafe { clone(entry, top as usize) };
        }
        signal::set_mask(was);
        made?;
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Ok(HelperThread { base: stack.into_raw().0 })
    }

    fn tid(&self) -> &AtomicU32 {
        let top = self.base + STACK_BYTES - size_of::<Top>();
        // SAFETY: the thread's own Top; the stack is unmapped by join() and forget() only.
        unsafe { &(*(top as *const Top)).tid }
    }

    /// Whether this thread is the calling thread.
    pub fn is_current(self) -> bool {
        process::tid() == self.tid().load(Ordering::Acquire)
    }

    /// Whether the thread has ended.
    pub fn has_ended(&self) -> bool {
        self.tid().load(Ordering::Acquire) == 0
    }

    /// Waits for the thread's end and frees its stack.
    pub fn join(self) {
        let tid = self.tid();
        loop {
            let id = tid.load(Ordering::Acquire);
            if id == 0 {
                break;
            }
            // The host's own wake-up of CLONE_CHILD_CLEARTID is a shared one.
            futex::wait(tid, id, futex::Scope::Shared);
        }
        self.forget();
    }

    /// Frees the stack of a thread that does not run: in the child of a fork.
    pub fn forget(self) {
        strike(self.tid().load(Ordering::Relaxed));
        // SAFETY: nothing runs on the stack, and the handle is used up.
        unsafe { memory::unmap_anonymous(self.base, STACK_BYTES) };
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// # Safety
/// `entry` is a stack laid out for the assembler; `tid` is a word that lives as long as the stack.
unsafe fn clone(entry: usize, tid: usize) -> Result<usize, Errno> {
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    // The gate itself: it has no frame that the child would return through.
    // SAFETY: the caller's promise.
    crate::sys::check(unsafe { gate()(libc::SYS_clone, flags as usize, entry, tid, tid, 0, 0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_and_is_waited_for() {
        static SEEN: AtomicUsize = AtomicUsize::new(0);
        extern "C" fn run(arg: usize) {
            assert!(is_helper_thread(process::tid() as usize));
            SEEN.store(arg, Ordering::SeqCst);
        }
        let thread = HelperThread::spawn(c"test", run, 7).unwrap();
        assert!(!thread.is_current());
        thread.join();
        assert_eq!(SEEN.load(Ordering::SeqCst), 7);
        assert!(!is_helper_thread(process::tid() as usize));
    }
}
