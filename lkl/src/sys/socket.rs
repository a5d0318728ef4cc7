// SPDX-License-Identifier: GPL-2.0-only
//! Stream sockets of the host.
//!
//! # Safety
//! Addresses and option values are slices of the caller, alive during the call.
#![allow(unsafe_code)]

use super::call::{plain, try_call};
use super::{Errno, OwnedFd};

/// A stream socket, closed at exec.
pub fn stream(family: i32) -> Result<OwnedFd, Errno> {
    let kind = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as usize;
    // SAFETY: a new descriptor is nobody else's.
    plain(libc::SYS_socket, [family as usize, kind, 0, 0, 0, 0])
        .map(|fd| unsafe { OwnedFd::from_raw(fd as i32) })
}

/// connect(2); `address` is a `struct sockaddr` of the socket's family.
pub fn connect(fd: i32, address: &[u8]) -> Result<(), Errno> {
    let args = [fd as usize, address.as_ptr() as usize, address.len(), 0, 0, 0];
    // SAFETY: a live buffer with its size.
    unsafe { try_call(libc::SYS_connect, args) }.map(drop)
}

/// setsockopt(2)
pub fn set_option(fd: i32, level: i32, option: i32, value: &[u8]) -> Result<(), Errno> {
    let args = [fd as usize, level as usize, option as usize, value.as_ptr() as usize, value.len(), 0];
    // SAFETY: a live buffer with its size.
    unsafe { try_call(libc::SYS_setsockopt, args) }.map(drop)
}

/// shutdown(2); a socket that is not connected any more is left as it is.
pub fn shutdown(fd: i32, how: i32) {
    let _ = plain(libc::SYS_shutdown, [fd as usize, how as usize, 0, 0, 0, 0]);
}
