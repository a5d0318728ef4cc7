// SPDX-License-Identifier: GPL-2.0-only
//! A process of this library's own that executes another program: made in the manner of vfork(2), on a stack of this library.
//!
//! # Safety
//! The child shares the memory of its maker until it executes a program or ends; the calling thread waits for that.
#![allow(unsafe_code)]

use super::memory::{self, Stack};
use super::{gate, signal, Errno};

/// Bytes of the child's stack.
const STACK_BYTES: usize = 32 << 10;

std::arch::global_asm!(include_str!("spawn.S"));

extern "C" {
    fn stowaway_lkl_spawn_start();
}

/// What a new process has of its maker's table of descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptors {
    /// A copy.
    Copied,
    /// The table itself: no file is open longer than its maker has it open.
    Shared,
}

/// Runs `run(arg)` in a new process, with all signals blocked, and returns the process's id when it has executed a program or
/// has ended. Its end sends no signal, and only a wait with `__WALL` or `__WCLONE` sees it. No tracer follows.
///
/// # Safety
/// `run` makes host calls and little else, and does not return. With [`Descriptors::Shared`] it closes nothing before it has a
/// table of its own.
pub unsafe fn spawn(
    run: extern "C" fn(usize) -> !,
    arg: usize,
    descriptors: Descriptors,
) -> Result<u32, Errno> {
    let (base, len) = Stack::new(STACK_BYTES)?.into_raw();
    let entry = base + len - 40;
    let shared = if descriptors == Descriptors::Shared { libc::CLONE_FILES } else { 0 };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_UNTRACED | shared;
    // SAFETY: fresh memory of ours: three words, which the return of the call and the assembler pop; then the
    // stack is aligned as a call wants it.
    unsafe {
        let words = entry as *mut usize;
        words.write(stowaway_lkl_spawn_start as *const () as usize);
        words.add(1).write(run as *const () as usize);
        words.add(2).write(arg);
    }
    let was = signal::set_mask(u64::MAX);
    // The gate itself: it has no frame that the child would return through.
    // SAFETY: the child gets the stack laid out above, which nothing else uses.
    let made = crate::sys::check(unsafe { gate()(libc::SYS_clone, flags as usize, entry, 0, 0, 0, 0) });
    signal::set_mask(was);
    // SAFETY: the child has left the stack.
    unsafe { memory::unmap_anonymous(base, len) };
    made.map(|pid| pid as u32)
}

/// Waits for the end of a process that [`spawn`] made. Its status, as wait(2) has it.
pub fn wait_for(pid: u32) -> i32 {
    let mut status = -1i32;
    let args = [pid as usize, &raw mut status as usize, libc::__WALL as usize, 0, 0, 0];
    // SAFETY: a live number.
    while unsafe { super::try_call(libc::SYS_wait4, args) } == Err(Errno::EINTR) {}
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    #[test]
    fn a_child_runs_in_this_memory_while_its_maker_waits() {
        static SEEN: AtomicUsize = AtomicUsize::new(0);
        static PID: AtomicU32 = AtomicU32::new(0);
        extern "C" fn run(arg: usize) -> ! {
            SEEN.store(arg, Ordering::SeqCst);
            PID.store(process::pid(), Ordering::SeqCst);
            process::exit(3)
        }
        // SAFETY: it makes two host calls.
        let pid = unsafe { spawn(run, 7, Descriptors::Copied) }.unwrap();
        assert_eq!((SEEN.load(Ordering::SeqCst), PID.load(Ordering::SeqCst)), (7, pid));
        assert_ne!(pid, process::pid());
        wait_for(pid);
        assert!(process::has_ended(pid));
    }
}
