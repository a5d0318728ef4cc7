// SPDX-License-Identifier: GPL-2.0-only
//! Clocks of the host.
//!
//! # Safety
//! libc's `clock_gettime` is the vDSO's: it executes no `syscall` instruction for these clocks.
#![allow(unsafe_code)]

use super::call::try_call;
use super::Errno;

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live structure; the vDSO answers.
    unsafe { libc::clock_gettime(clock, &mut t) };
    nanoseconds(&t)
}

fn nanoseconds(t: &libc::timespec) -> u64 {
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// CLOCK_MONOTONIC
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// CLOCK_MONOTONIC_COARSE: the time of the host's last tick.
pub fn monotonic_coarse_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC_COARSE)
}

/// CLOCK_REALTIME
pub fn realtime_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

/// CLOCK_REALTIME_COARSE: the time of the host's last tick, as files of the host get it.
pub fn realtime_coarse_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME_COARSE)
}

/// The CPU time of a thread of this process.
pub fn thread_cpu_ns(tid: u32) -> Result<u64, Errno> {
    /// CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED (include/linux/posix-timers.h)
    const THREAD_CLOCK: i32 = 4 | 2;
    let clock = (!(tid as i32)) << 3 | THREAD_CLOCK;
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live structure.
    unsafe { try_call(libc::SYS_clock_gettime, [clock as usize, &raw mut t as usize, 0, 0, 0, 0]) }?;
    Ok(nanoseconds(&t))
}
