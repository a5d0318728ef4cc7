// SPDX-License-Identifier: GPL-2.0-only
//! poll(2) of some descriptors.
//!
//! # Safety
//! The host reads and writes a live array.
#![allow(unsafe_code)]

use super::try_call;

/// There is something to read.
pub const IN: i16 = libc::POLLIN;
/// There is room to write.
pub const OUT: i16 = libc::POLLOUT;

/// Waits until one of the descriptors has one of the events, an error or its end. What each has; nothing if a signal came.
pub fn wait<const N: usize>(fds: [(i32, i16); N]) -> [i16; N] {
    wait_until(fds, None)
}

/// The same for at most so long, ms. Of -1 nothing is waited for.
pub fn wait_for<const N: usize>(fds: [(i32, i16); N], ms: u32) -> [i16; N] {
    let (s, ns) = (i64::from(ms / 1000), i64::from(ms % 1000) * 1_000_000);
    wait_until(fds, Some(libc::timespec { tv_sec: s, tv_nsec: ns }))
}

fn wait_until<const N: usize>(fds: [(i32, i16); N], limit: Option<libc::timespec>) -> [i16; N] {
    let mut all = fds.map(|(fd, events)| libc::pollfd { fd, events, revents: 0 });
    let limit = limit.as_ref().map_or(0, |limit| std::ptr::from_ref(limit) as usize);
    // SAFETY: a live array of N, and a live time or none.
    let done = unsafe { try_call(libc::SYS_ppoll, [all.as_mut_ptr() as usize, N, limit, 0, 0, 0]) };
    match done {
        Ok(_) => all.map(|fd| fd.revents),
        Err(_) => [0; N],
    }
}
