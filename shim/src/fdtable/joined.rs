// SPDX-License-Identifier: GPL-2.0-only
//! Numbers of sockets that have been put into an epoll set of the kernel: such a socket cannot become the host's any more, for its set
//! would never hear of it again (`calls::net_host`).

use core::sync::atomic::{AtomicU64, Ordering};

use super::LIMIT;

/// A bit a number. Pages of numbers never used cost nothing.
static JOINED: [AtomicU64; LIMIT / 64] = [const { AtomicU64::new(0) }; LIMIT / 64];

fn word(number: usize) -> Option<(&'static AtomicU64, u64)> {
    Some((JOINED.get(number / 64)?, 1 << (number % 64)))
}

/// The socket is in a set.
pub fn note(number: usize) {
    if let Some((word, bit)) = word(number) {
        word.fetch_or(bit, Ordering::Relaxed);
    }
}

/// The number is of a new socket.
pub fn forget(number: usize) {
    if let Some((word, bit)) = word(number) {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

/// Whether the socket has been in a set.
pub fn has(number: usize) -> bool {
    word(number).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
}
