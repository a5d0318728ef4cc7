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
    let mut all = fds.map(|(fd, events)| libc::pollfd { fd, events, revents: 0 });
    // SAFETY: a live array of N.
    let done = unsafe { try_call(libc::SYS_ppoll, [all.as_mut_ptr() as usize, N, 0, 0, 0, 0]) };
    match done {
        Ok(_) => all.map(|fd| fd.revents),
        Err(_) => [0; N],
    }
}
