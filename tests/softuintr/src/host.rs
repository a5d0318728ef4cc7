// SPDX-License-Identifier: GPL-2.0-only
//! Host calls, through whatever function we were given.

use core::arch::{asm, global_asm};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};

// The linker's.
global_asm!(".hidden __ehdr_start", ".hidden _end");

extern "C" {
    static __ehdr_start: u8;
    static _end: u8;
}

/// Where the emulator's library is, with what it keeps. A process that gives memory back to another one, as a child of
/// vfork(2) does, must not give this: what the child has forgotten stays the parent's.
pub(crate) unsafe extern "C" fn memory() -> crate::Memory {
    const PAGE: usize = 4096;
    crate::Memory {
        start: &raw const __ehdr_start as usize,
        end: (&raw const _end as usize).next_multiple_of(PAGE),
    }
}

/// Number and six arguments in, kernel ABI out.
pub type RawSyscall = unsafe extern "C" fn(i64, usize, usize, usize, usize, usize, usize) -> isize;

/// 0: our own.
static RAW: AtomicUsize = AtomicUsize::new(0);
static FLAGS: AtomicU32 = AtomicU32::new(0);
static GIVES_STACKS: AtomicBool = AtomicBool::new(false);

/// See [`crate::Emulator::start`].
pub(crate) unsafe extern "C" fn start(raw: RawSyscall, flags: u32) {
    RAW.store(raw as usize, Relaxed);
    FLAGS.store(flags, Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    FLAGS.load(Relaxed) & crate::QUIET != 0
}

pub(crate) fn give_signal_stacks() {
    GIVES_STACKS.store(true, Relaxed);
}

pub(crate) fn gives_signal_stacks() -> bool {
    GIVES_STACKS.load(Relaxed)
}

unsafe extern "C" fn plain(nr: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let ret;
    // SAFETY: the caller's.
    unsafe {
        asm!("syscall", inlateout("rax") nr as isize => ret, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack))
    };
    ret
}

/// A host call with arguments of ours.
pub(crate) fn call(nr: i64, args: &[usize]) -> isize {
    let at = |i: usize| args.get(i).copied().unwrap_or(0);
    let raw: RawSyscall = match RAW.load(Relaxed) {
        0 => plain,
        // SAFETY: start() stored the address of a function of this type.
        raw => unsafe { core::mem::transmute::<usize, RawSyscall>(raw) },
    };
    // SAFETY: every pointer among the arguments is to memory of ours.
    unsafe { raw(nr, at(0), at(1), at(2), at(3), at(4), at(5)) }
}

pub(crate) fn pid() -> usize {
    call(libc::SYS_getpid, &[]) as usize
}

pub(crate) fn tid() -> u32 {
    call(libc::SYS_gettid, &[]) as u32
}

pub(crate) fn send_signal(tid: u32, signal: i32) -> isize {
    call(libc::SYS_tgkill, &[pid(), tid as usize, signal as usize])
}

/// Whether a thread of this process is on a CPU: its CPU time goes on. (Its state in /proc would take a descriptor.)
pub(crate) fn is_running(tid: u32) -> bool {
    // CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED (include/linux/posix-timers.h)
    let clock = (!(tid as i32)) << 3 | 4 | 2;
    let now = || {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let r = call(libc::SYS_clock_gettime, &[clock as usize, &raw mut now as usize]);
        (r == 0).then_some((now.tv_sec, now.tv_nsec))
    };
    let before = now();
    before.is_some() && now() != before
}
