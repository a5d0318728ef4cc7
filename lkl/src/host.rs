// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel asks of its host: `struct lkl_host_ops` of the overlay's `asm/host.h`.
//!
//! These run on kernel stacks, on whatever thread drives the CPU.  They must not panic, allocate,
//! take locks or enter the kernel.

use crate::block::{self, Device, Request};
use crate::cpu;
use crate::pressure;
use crate::symbols;
use crate::sys::host;
use std::sync::atomic::{AtomicI32, Ordering};

#[repr(C)]
pub(crate) struct Ops {
    print: unsafe extern "C" fn(*const u8, u32),
    alert: unsafe extern "C" fn(*const u8, u32),
    panic: unsafe extern "C" fn(),
    time_ns: unsafe extern "C" fn() -> u64,
    realtime_ns: unsafe extern "C" fn() -> u64,
    random: unsafe extern "C" fn() -> u64,
    timer_arm: unsafe extern "C" fn(u64),
    complete: unsafe extern "C" fn(*const cpu::Waiter),
    blk_submit: unsafe extern "C" fn(*mut Request) -> i64,
    blk_commit: unsafe extern "C" fn(*const Device),
    blk_gone: unsafe extern "C" fn(*const Device),
    name: unsafe extern "C" fn(usize, *mut u8, usize),
    protect: unsafe extern "C" fn(usize, usize, i32) -> i64,
    give_back: unsafe extern "C" fn(usize, usize),
    short_of_memory: unsafe extern "C" fn() -> i32,
}

pub(crate) const OPS: Ops = Ops {
    print,
    alert,
    panic,
    time_ns,
    realtime_ns,
    random,
    timer_arm: cpu::arm,
    complete: cpu::complete,
    blk_submit: block::submit,
    blk_commit: block::commit,
    blk_gone: block::gone,
    name: symbols::name,
    protect,
    give_back,
    short_of_memory: pressure::short_of_memory,
};

/// Where the kernel log goes; -1: nowhere.
pub(crate) static LOG_FD: AtomicI32 = AtomicI32::new(-1);

/// Writes all of it, as far as the host takes it.
pub(crate) fn write_all(fd: i32, mut at: usize, mut len: usize) {
    while len > 0 {
        let n = host(libc::SYS_write, [fd as usize, at, len, 0, 0, 0]);
        if n == -(libc::EINTR as isize) {
            continue;
        }
        if n <= 0 {
            return;
        }
        at += n as usize;
        len -= n as usize;
    }
}

unsafe extern "C" fn print(s: *const u8, len: u32) {
    let fd = LOG_FD.load(Ordering::Relaxed);
    if fd >= 0 {
        write_all(fd, s as usize, len as usize);
    }
}

unsafe extern "C" fn alert(s: *const u8, len: u32) {
    write_all(2, s as usize, len as usize);
}

/// Ends the process by SIGABRT, whatever the application has made of that signal.
unsafe extern "C" fn panic() {
    let default = [libc::SIG_DFL, 0, 0, 0];
    let abort = libc::SIGABRT as usize;
    host(libc::SYS_rt_sigaction, [abort, default.as_ptr() as usize, 0, 8, 0, 0]);
    let mask = [1u64 << (abort - 1)];
    host(libc::SYS_rt_sigprocmask, [libc::SIG_UNBLOCK as usize, mask.as_ptr() as usize, 0, 8, 0, 0]);
    let pid = host(libc::SYS_getpid, [0; 6]) as usize;
    let tid = host(libc::SYS_gettid, [0; 6]) as usize;
    host(libc::SYS_tgkill, [pid, tid, abort, 0, 0, 0]);
    host(libc::SYS_exit_group, [134, 0, 0, 0, 0, 0]);
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid pointer; the vDSO answers.
    unsafe { libc::clock_gettime(clock, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

pub(crate) fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

unsafe extern "C" fn time_ns() -> u64 {
    monotonic_ns()
}

unsafe extern "C" fn realtime_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

unsafe extern "C" fn random() -> u64 {
    let mut v = 0u64;
    host(libc::SYS_getrandom, [&raw mut v as usize, 8, 0, 0, 0, 0]);
    v
}

unsafe extern "C" fn protect(at: usize, len: usize, prot: i32) -> i64 {
    host(libc::SYS_mprotect, [at, len, prot as usize, 0, 0, 0]) as i64
}

unsafe extern "C" fn give_back(at: usize, len: usize) {
    block::fresh::gave_back(at, len);
    host(libc::SYS_madvise, [at, len, libc::MADV_REMOVE as usize, 0, 0, 0]);
}
