// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel asks of its host: `struct lkl_host_ops` of the overlay's `asm/host.h`.
//!
//! These run on kernel stacks, on whatever thread drives the CPU.  They must not panic, allocate,
//! take locks or enter the kernel.

use crate::sys::host;
use crate::timer;
use crate::Errno;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// `struct lkl_iov`: the same as `struct iovec`.
#[repr(C)]
pub(crate) struct Iov {
    base: usize,
    len: usize,
}

#[repr(C)]
pub(crate) struct Ops {
    print: unsafe extern "C" fn(*const u8, u32),
    alert: unsafe extern "C" fn(*const u8, u32),
    panic: unsafe extern "C" fn(),
    time_ns: unsafe extern "C" fn() -> u64,
    realtime_ns: unsafe extern "C" fn() -> u64,
    random: unsafe extern "C" fn() -> u64,
    timer_arm: unsafe extern "C" fn(u64),
    park: unsafe extern "C" fn(*const AtomicU32, u32),
    unpark: unsafe extern "C" fn(*const AtomicU32),
    blk_read: unsafe extern "C" fn(i64, *const Iov, i32, u64) -> i64,
    blk_write: unsafe extern "C" fn(i64, *const Iov, i32, u64) -> i64,
    blk_flush: unsafe extern "C" fn(i64) -> i64,
    blk_discard: unsafe extern "C" fn(i64, u64, u64, i32) -> i64,
    protect: unsafe extern "C" fn(usize, usize, i32) -> i64,
}

pub(crate) static OPS: Ops = Ops {
    print,
    alert,
    panic,
    time_ns,
    realtime_ns,
    random,
    timer_arm: timer::arm,
    park,
    unpark,
    blk_read,
    blk_write,
    blk_flush,
    blk_discard,
    protect,
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

unsafe extern "C" fn park(word: *const AtomicU32, value: u32) {
    let op = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    host(libc::SYS_futex, [word as usize, op, value as usize, 0, 0, 0]);
}

unsafe extern "C" fn unpark(word: *const AtomicU32) {
    let op = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
    host(libc::SYS_futex, [word as usize, op, 1, 0, 0, 0]);
}

unsafe extern "C" fn blk_read(fd: i64, iov: *const Iov, n: i32, off: u64) -> i64 {
    // SAFETY: the block driver passes n vectors.
    unsafe { transfer(libc::SYS_preadv, libc::SYS_pread64, fd as usize, iov, n as usize, off as usize) }
}

unsafe extern "C" fn blk_write(fd: i64, iov: *const Iov, n: i32, off: u64) -> i64 {
    // SAFETY: the block driver passes n vectors.
    let r = unsafe {
        transfer(libc::SYS_pwritev, libc::SYS_pwrite64, fd as usize, iov, n as usize, off as usize)
    };
    note_write_error(fd, r);
    r
}

/// The first failure of a write or flush: descriptor in the upper half, errno in the lower; 0: none.
static WRITE_ERROR: AtomicU64 = AtomicU64::new(0);

fn note_write_error(fd: i64, r: i64) {
    if r < 0 {
        let what = (fd as u64) << 32 | -r as u64;
        let _ = WRITE_ERROR.compare_exchange(0, what, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// See [`crate::Kernel::take_write_error`].
pub(crate) fn take_write_error() -> Option<(i32, Errno)> {
    let what = WRITE_ERROR.swap(0, Ordering::Relaxed);
    (what != 0).then_some(((what >> 32) as i32, Errno(what as u32 as i32)))
}

/// All vectors, or an error.  The vectored call does it in one go but for signals and ends of
/// files; where it stops short in the middle of a vector, the scalar call finishes that one.
unsafe fn transfer(vector: i64, scalar: i64, fd: usize, iov: *const Iov, n: usize, off: usize) -> i64 {
    let (mut i, mut off) = (0, off);
    while i < n {
        // SAFETY: i < n.
        let at = unsafe { iov.add(i) };
        let r = host(vector, [fd, at as usize, n - i, off, 0, 0]);
        let mut done = match step(r) {
            Ok(done) => done,
            Err(e) => return e,
        };
        off += done;
        while i < n {
            // SAFETY: i < n.
            let v = unsafe { &*iov.add(i) };
            if done >= v.len {
                done -= v.len;
                i += 1;
                continue;
            }
            if done > 0 {
                let rest = v.len - done;
                let e = finish(scalar, fd, v.base + done, rest, off);
                if e != 0 {
                    return e;
                }
                off += rest;
                i += 1;
            }
            break;
        }
    }
    0
}

fn finish(scalar: i64, fd: usize, mut at: usize, mut len: usize, mut off: usize) -> i64 {
    while len > 0 {
        match step(host(scalar, [fd, at, len, off, 0, 0])) {
            Ok(done) => {
                at += done;
                len -= done;
                off += done;
            }
            Err(e) => return e,
        }
    }
    0
}

/// Bytes done (0 after EINTR: again), or -errno; nothing at all means that the file ends early.
fn step(r: isize) -> Result<usize, i64> {
    const EINTR: isize = -(libc::EINTR as isize);
    match r {
        EINTR => Ok(0),
        0 => Err(-i64::from(libc::EIO)),
        r if r < 0 => Err(r as i64),
        r => Ok(r as usize),
    }
}

unsafe extern "C" fn blk_flush(fd: i64) -> i64 {
    let r = host(libc::SYS_fdatasync, [fd as usize, 0, 0, 0, 0, 0]) as i64;
    note_write_error(fd, r);
    r
}

unsafe extern "C" fn blk_discard(fd: i64, off: u64, len: u64, zero: i32) -> i64 {
    let how = if zero != 0 { libc::FALLOC_FL_ZERO_RANGE } else { libc::FALLOC_FL_PUNCH_HOLE };
    let mode = (how | libc::FALLOC_FL_KEEP_SIZE) as usize;
    host(libc::SYS_fallocate, [fd as usize, mode, off as usize, len as usize, 0, 0]) as i64
}

unsafe extern "C" fn protect(at: usize, len: usize, prot: i32) -> i64 {
    host(libc::SYS_mprotect, [at, len, prot as usize, 0, 0, 0]) as i64
}
