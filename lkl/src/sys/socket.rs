// SPDX-License-Identifier: GPL-2.0-only
//! Sockets of the host, and descriptors that go through them (unix(7), SCM_RIGHTS).
//!
//! # Safety
//! Addresses and option values are slices of the caller, alive during the call.
#![allow(unsafe_code)]

use super::call::{plain, try_call};
use super::{Errno, OwnedFd};
use std::mem::{size_of, MaybeUninit};

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

/// The number of a socket, which no other socket of the host ever has (SO_COOKIE). ENOTSOCK: the file is none.
pub fn cookie(fd: i32) -> Result<u64, Errno> {
    let (mut number, mut len) = (0u64, size_of::<u64>() as libc::socklen_t);
    let option = [libc::SOL_SOCKET as usize, libc::SO_COOKIE as usize];
    let args = [fd as usize, option[0], option[1], &raw mut number as usize, &raw mut len as usize, 0];
    // SAFETY: a live number with its size.
    unsafe { try_call(libc::SYS_getsockopt, args) }.map(|_| number)
}

/// Two AF_UNIX sockets of a kind (SOCK_STREAM and so on) that are connected to each other, closed at exec.
pub fn pair(kind: i32) -> Result<[OwnedFd; 2], Errno> {
    let mut ends = [0i32; 2];
    let kind = (kind | libc::SOCK_CLOEXEC) as usize;
    let args = [libc::AF_UNIX as usize, kind, 0, ends.as_mut_ptr() as usize, 0, 0];
    // SAFETY: a live array of two; then new descriptors.
    unsafe {
        try_call(libc::SYS_socketpair, args)?;
        Ok(ends.map(|fd| OwnedFd::from_raw(fd)))
    }
}

/// SOCK_STREAM and so on: SO_TYPE.
pub fn kind(fd: i32) -> Result<i32, Errno> {
    let (mut kind, mut len) = (0i32, size_of::<i32>() as u32);
    let (level, option) = (libc::SOL_SOCKET as usize, libc::SO_TYPE as usize);
    let args = [fd as usize, level, option, &raw mut kind as usize, &raw mut len as usize, 0];
    // SAFETY: a live number, and its length.
    unsafe { try_call(libc::SYS_getsockopt, args) }.map(|_| kind)
}

/// How long reads and writes of the socket wait (SO_RCVTIMEO, SO_SNDTIMEO).
pub fn set_timeouts(fd: i32, ms: u32) {
    // struct timeval
    let mut time = [0; 16];
    time[..8].copy_from_slice(&i64::from(ms / 1000).to_ne_bytes());
    time[8..].copy_from_slice(&(i64::from(ms % 1000) * 1000).to_ne_bytes());
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        let _ = set_option(fd, libc::SOL_SOCKET, option, &time);
    }
}

/// shutdown(2); a socket that is not connected any more is left as it is.
pub fn shutdown(fd: i32, how: i32) {
    let _ = plain(libc::SYS_shutdown, [fd as usize, how as usize, 0, 0, 0, 0]);
}

/// The most descriptors of a message: SCM_MAX_FD of the host is 253.
pub const MOST_FDS: usize = 253;

/// Bytes of the ancillary data with all of them (cmsg(3)).
const CONTROL: usize = size_of::<libc::cmsghdr>() + MOST_FDS * size_of::<i32>();

/// Memory for ancillary data, aligned for its header.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl Control {
    fn fds(&self) -> impl Iterator<Item = &[u8]> {
        self.0[size_of::<libc::cmsghdr>()..].chunks_exact(size_of::<i32>())
    }
}

/// Calls `transfer` (sendmsg or recvmsg) with a message of these parts; `control_len` is the length of the ancillary data.
fn with_message(
    (bytes, len): (*mut u8, usize),
    control: &mut Control,
    control_len: usize,
    transfer: impl FnOnce(&mut libc::msghdr) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut part = libc::iovec { iov_base: bytes.cast(), iov_len: len };
    // SAFETY: plain data, valid as zeroes.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control_len;
    transfer(&mut message)
}

/// Sends bytes with copies of descriptors, at most [`MOST_FDS`], without a wait. How many bytes were sent.
pub fn send_with_fds(socket: i32, bytes: &[u8], fds: &[i32]) -> Result<usize, Errno> {
    let mut control = Control([0; CONTROL]);
    let header = libc::cmsghdr {
        cmsg_len: size_of::<libc::cmsghdr>() + size_of_val(fds),
        cmsg_level: libc::SOL_SOCKET,
        cmsg_type: libc::SCM_RIGHTS,
    };
    // SAFETY: aligned for the header, and large enough.
    unsafe { control.0.as_mut_ptr().cast::<libc::cmsghdr>().write(header) };
    for (fd, to) in fds.iter().zip(control.0[size_of::<libc::cmsghdr>()..].chunks_exact_mut(4)) {
        to.copy_from_slice(&fd.to_ne_bytes());
    }
    let control_len = if fds.is_empty() { 0 } else { header.cmsg_len };
    let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as usize;
    with_message((bytes.as_ptr().cast_mut(), bytes.len()), &mut control, control_len, |message| {
        let args = [socket as usize, std::ptr::from_mut(message) as usize, flags, 0, 0, 0];
        // SAFETY: live structures, which are read.
        unsafe { try_call(libc::SYS_sendmsg, args) }
    })
}

/// Receives bytes, and descriptors into `fds`, close-on-exec, which are the caller's; `flags` as for recvmsg(2). How many bytes,
/// and how many descriptors. Room for [`MOST_FDS`] is enough.
pub fn receive_with_fds(
    socket: i32,
    bytes: &mut [u8],
    fds: &mut [i32],
    flags: i32,
) -> Result<(usize, usize), Errno> {
    let mut control = Control([0; CONTROL]);
    let flags = (flags | libc::MSG_CMSG_CLOEXEC) as usize;
    let control_len = size_of::<libc::cmsghdr>() + size_of_val(fds).min(CONTROL - size_of::<libc::cmsghdr>());
    let got = with_message((bytes.as_mut_ptr(), bytes.len()), &mut control, control_len, |message| {
        let args = [socket as usize, std::ptr::from_mut(message) as usize, flags, 0, 0, 0];
        // SAFETY: live structures.
        unsafe { try_call(libc::SYS_recvmsg, args) }
    })?;
    // The header counts exactly; the length of all ancillary data is rounded up. Without descriptors it is still zero.
    // SAFETY: aligned for the header, and large enough.
    let header = unsafe { control.0.as_ptr().cast::<libc::cmsghdr>().read() };
    let count = header.cmsg_len.saturating_sub(size_of::<libc::cmsghdr>()) / size_of::<i32>();
    let count = count.min(fds.len());
    for (fd, from) in fds[..count].iter_mut().zip(control.fds()) {
        *fd = i32::from_ne_bytes([from[0], from[1], from[2], from[3]]);
    }
    Ok((got, count))
}
