// SPDX-License-Identifier: GPL-2.0-only
//! Host calls that move the kernel's vectors, and never wait.
//!
//! # Safety
//! The vectors are memory of the kernel's that the driver gave for the call, or arrays of the caller's.
#![allow(unsafe_code)]

use crate::dev::block::Iov;
use crate::sys::{try_call, Errno};

/// writev(2)
pub(super) fn write(fd: i32, iov: &[Iov]) -> Result<usize, Errno> {
    // SAFETY: the driver's vectors.
    unsafe { try_call(libc::SYS_writev, [fd as usize, iov.as_ptr() as usize, iov.len(), 0, 0, 0]) }
}

/// readv(2)
pub(super) fn read(fd: i32, iov: &[Iov]) -> Result<usize, Errno> {
    // SAFETY: the driver's vectors.
    unsafe { try_call(libc::SYS_readv, [fd as usize, iov.as_ptr() as usize, iov.len(), 0, 0, 0]) }
}

fn header(iov: &[Iov]) -> libc::msghdr {
    // SAFETY: a structure of numbers and pointers, of which zeroes are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = iov.as_ptr().cast_mut().cast();
    message.msg_iovlen = iov.len();
    message
}

/// sendmsg(2)
pub(super) fn send(socket: i32, iov: &[Iov]) -> Result<usize, Errno> {
    let (message, flags) = (header(iov), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    let args = [socket as usize, &raw const message as usize, flags as usize, 0, 0, 0];
    // SAFETY: the driver's vectors, in a live message.
    unsafe { try_call(libc::SYS_sendmsg, args) }
}

/// recvmsg(2)
pub(super) fn receive(socket: i32, iov: &[Iov], flags: i32) -> Result<usize, Errno> {
    let mut message = header(iov);
    let flags = flags | libc::MSG_DONTWAIT;
    let args = [socket as usize, &raw mut message as usize, flags as usize, 0, 0, 0];
    // SAFETY: the driver's vectors, in a live message.
    unsafe { try_call(libc::SYS_recvmsg, args) }
}
