// SPDX-License-Identifier: GPL-2.0-only
//! The worker as a program that catches its own calls, with the trampoline alone: one of them is answered by a handler that
//! does nothing else, the others go to the host.
//!
//! # Safety
//! The handler of calls answers one call itself and makes all others unchanged.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{bail, Result};
use trampoline::routes::{set_routes, Route};
use trampoline::{Frame, Vectors};

/// What getppid gives.
static ANSWER: AtomicUsize = AtomicUsize::new(0);

/// The rewriter must not allocate by calls that are caught themselves: from [`begin`] on memory is cut off one piece.
struct Piecewise;

#[global_allocator]
static ALLOCATOR: Piecewise = Piecewise;
const ARENA: usize = 256 << 20;
/// Where the piece begins, and what is left of it; 0: the system's allocator serves.
static START: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: either the system's allocator, or memory of the piece that is given out once.
unsafe impl GlobalAlloc for Piecewise {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = START.load(Ordering::Relaxed);
        if start == 0 {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        let size = layout.size() + layout.align();
        let at = (NEXT.fetch_add(size, Ordering::Relaxed)).next_multiple_of(layout.align());
        if at + layout.size() > start + ARENA {
            return null_mut();
        }
        at as *mut u8
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let start = START.load(Ordering::Relaxed);
        if !(start..start + ARENA).contains(&(at as usize)) || start == 0 {
            // SAFETY: it came from there.
            unsafe { System.dealloc(at, layout) };
        }
    }
}

/// Arms Syscall User Dispatch with the whole address space allowed: the host's own part of what catching costs.
pub fn allow_all() -> Result<()> {
    const PR_SET_SYSCALL_USER_DISPATCH: libc::c_int = 59;
    const ON: usize = 1;
    static ALLOW: u8 = 0;
    // SAFETY: five integers; the selector is never written.
    let r = unsafe {
        libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, ON, 4096usize, isize::MAX as usize, &raw const ALLOW)
    };
    if r != 0 {
        bail!("no Syscall User Dispatch");
    }
    Ok(())
}

/// From now on.
pub fn begin() -> Result<()> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory, which stays.
    let arena = unsafe { libc::mmap(null_mut(), ARENA, protection, flags | libc::MAP_NORESERVE, -1, 0) };
    if arena == libc::MAP_FAILED {
        bail!("no memory");
    }
    NEXT.store(arena as usize, Ordering::Relaxed);
    START.store(arena as usize, Ordering::Relaxed);
    const ANSWERED: usize = libc::SYS_getppid as usize;
    // Those that return twice, or not at all, are not the host's alone; the worker makes none that matters here.
    const OTHER: [i64; 5] =
        [libc::SYS_clone, libc::SYS_clone3, libc::SYS_fork, libc::SYS_vfork, libc::SYS_rt_sigreturn];
    ANSWER.store(std::os::unix::process::parent_id() as usize, Ordering::Relaxed);
    let to_host = |nr: &usize| *nr != ANSWERED && !OTHER.contains(&(*nr as i64));
    set_routes((0..512).filter(to_host).map(|nr| (nr, Route::Host)), &[]);
    // As the library does: code compiled for plain x86-64 touches no more, so that all of the state survives.
    if let Err(why) = trampoline::install(answer, ignore, started, Vectors::Sse) {
        bail!("no Syscall User Dispatch (errno {})", why.0);
    }
    trampoline::rewrite_sites(false, None);
    Ok(())
}

unsafe extern "C-unwind" fn answer(frame: &mut Frame) {
    frame.rax = match frame.nr as i64 {
        libc::SYS_getppid => ANSWER.load(Ordering::Relaxed),
        // SAFETY: the worker's own call, as it made it.
        nr => unsafe { trampoline::gate(nr, &frame.args()) as usize },
    };
}

unsafe extern "C-unwind" fn ignore(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void, _: usize) {}

extern "C" fn started(_: bool) {}
