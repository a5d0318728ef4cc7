// SPDX-License-Identifier: GPL-2.0-only
//! Host descriptors of our own, at numbers that the application does not see.

use core::sync::atomic::{AtomicU64, Ordering};

use lkl::sys::process::RaisedLimit;

use super::{class, is_placeholder, set, HOST, LIMIT, RESERVED};
use crate::sys::errno::Result;
use crate::sys::{fs, host, report};

/// How long a descriptor of ours is of use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// In one thread of this process; every child of fork closes its copy.
    InThread,
    /// In this process; a child of fork closes its copy, unless the child goes on with the kernel.
    InProcess,
    /// In children of fork as well.
    OverFork,
}

/// A bit for each number of [`Keep::OverFork`]. Lazily mapped.
static KEPT: [AtomicU64; LIMIT / 64] = [const { AtomicU64::new(0) }; LIMIT / 64];
/// The same for [`Keep::InThread`].
static OF_THREADS: [AtomicU64; LIMIT / 64] = [const { AtomicU64::new(0) }; LIMIT / 64];

/// Whether a child of fork keeps the descriptor.
pub(super) fn is_kept_over_fork(fd: usize) -> bool {
    KEPT.get(fd / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (fd % 64) & 1 != 0)
}

/// Room for descriptors of our own, as long as the value lives: what the program leaves free below its soft limit is the
/// program's.
pub fn room() -> Option<RaisedLimit> {
    RaisedLimit::raise(libc::RLIMIT_NOFILE)
}

/// stdin, stdout and stderr are never ours, even if they are closed.
const LOWEST: usize = 3;

/// Lowest number that we take for our own descriptors, for use with [`room`]: right below the hard limit, out of the way
/// of programs that count up. Not above 8192: the kernel's table grows with its highest number.
pub fn reserved_range_start() -> i32 {
    const ROOM: usize = 64;
    let limit = host::soft_limit(libc::RLIMIT_NOFILE).map_or(256, |limit| limit.min(8192) as usize);
    limit.saturating_sub(ROOM).max(limit / 2) as i32
}

/// Copies host descriptor `fd` to a number of ours (close-on-exec); the number. Where ours are all in use, and a hard limit leaves
/// none above, to a number further down.
pub fn reserve(fd: i32, keep: Keep) -> Result<i32> {
    let _room = room();
    let start = reserved_range_start() as usize;
    let copy = fs::copy_from(fd, start, true)
        .or_else(|_| fs::copy_from(fd, start / 2, true))
        .or_else(|_| fs::copy_from(fd, LOWEST, true))?;
    set(copy as usize, RESERVED);
    let bits = match keep {
        Keep::InThread => &OF_THREADS,
        Keep::InProcess => return Ok(copy),
        Keep::OverFork => &KEPT,
    };
    if let Some(word) = bits.get(copy as usize / 64) {
        word.fetch_or(1 << (copy % 64), Ordering::Relaxed);
    }
    Ok(copy)
}

/// Closes a descriptor of ours.
pub fn release(fd: usize) {
    for word in [&KEPT, &OF_THREADS].into_iter().filter_map(|bits| bits.get(fd / 64)) {
        word.fetch_and(!(1 << (fd % 64)), Ordering::Relaxed);
    }
    set(fd, HOST);
    fs::close(fd as i32);
}

/// Keeps a copy of stderr for messages at a number that the application does not use. Called at boot.
pub fn keep_stderr() {
    // Over an exec that keeps the kernel, a file of the kernel may be at 2 that the table does not know yet.
    if class(2) == HOST && report::stderr_fd() == 2 && !is_placeholder(2) {
        if let Ok(copy) = reserve(2, Keep::OverFork) {
            report::set_stderr(copy);
        }
    }
}

/// The program before the exec has left its copy at this number, for stderr is a file of a mount.
pub fn take_over_stderr(fd: i32) {
    if let Ok(copy) = reserve(fd, Keep::OverFork) {
        report::set_stderr(copy);
    }
    fs::close(fd);
}

/// In the child of a fork: what the parent's threads had.
pub fn close_those_of_threads() {
    for (at, word) in OF_THREADS.iter().enumerate().take(super::end().div_ceil(64)) {
        let mut left = word.load(Ordering::Relaxed);
        while left != 0 {
            release(at * 64 + left.trailing_zeros() as usize);
            left &= left - 1;
        }
    }
}
