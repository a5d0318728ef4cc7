// SPDX-License-Identifier: GPL-2.0-only
//! The numbers of the NBD protocol, requests and replies as bytes, and their way over a socket.
//!
//! # Safety
//! Vectors name slices of the caller or memory that a request of the kernel has for its data.
#![allow(unsafe_code)]

use super::patience::Patience;
use crate::dev::block::request::{Iov, EIO};
use crate::sys::call;

/// Big-endian numbers of the protocol.
pub(super) const REQUEST_MAGIC: u32 = 0x2560_9513;
pub(super) const REPLY_MAGIC: u32 = 0x6744_6698;
pub(super) const REQUEST_BYTES: usize = 28;
pub(super) const REPLY_BYTES: usize = 16;

pub(super) const CMD_READ: u16 = 0;
pub(super) const CMD_WRITE: u16 = 1;
pub(super) const CMD_DISCONNECT: u16 = 2;
pub(super) const CMD_FLUSH: u16 = 3;
pub(super) const CMD_TRIM: u16 = 4;
pub(super) const CMD_WRITE_ZEROES: u16 = 6;
pub(super) const CMD_FLAG_FUA: u16 = 1;

/// Transmission flags of an export.
pub(crate) const READ_ONLY: u16 = 1 << 1;
pub(crate) const SEND_FLUSH: u16 = 1 << 2;
pub(crate) const SEND_FUA: u16 = 1 << 3;
pub(crate) const SEND_TRIM: u16 = 1 << 5;
pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;

pub(super) fn request(flags: u16, command: u16, cookie: u64, off: u64, len: u32) -> [u8; REQUEST_BYTES] {
    let mut out = [0; REQUEST_BYTES];
    out[..4].copy_from_slice(&REQUEST_MAGIC.to_be_bytes());
    out[4..6].copy_from_slice(&flags.to_be_bytes());
    out[6..8].copy_from_slice(&command.to_be_bytes());
    out[8..16].copy_from_slice(&cookie.to_be_bytes());
    out[16..24].copy_from_slice(&off.to_be_bytes());
    out[24..].copy_from_slice(&len.to_be_bytes());
    out
}

/// (errno, cookie) of a simple reply.
pub(super) fn reply(raw: &[u8; REPLY_BYTES]) -> Option<(i64, u64)> {
    let word = |at: usize| u32::from_be_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
    let cookie = u64::from(word(8)) << 32 | u64::from(word(12));
    (word(0) == REPLY_MAGIC).then(|| (-i64::from(word(4) as i32), cookie))
}

/// Sends or receives all of the vectors; they are used up. Errors as -errno; the end of the stream is EIO, a timeout
/// EAGAIN if nothing was moved yet. With patience, a timeout of the socket is no end.
pub(super) fn move_all(fd: i32, mut iov: &mut [Iov], nr: i64, patience: Option<Patience>) -> Result<(), i64> {
    let mut begun = false;
    while let Some(first) = iov.first() {
        if first.len == 0 {
            iov = &mut iov[1..];
            continue;
        }
        if let Some(Err(e)) = patience.map(Patience::check) {
            return Err(-i64::from(e.into_raw()));
        }
        // SAFETY: zeroes are a valid msghdr.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = iov.as_mut_ptr().cast();
        message.msg_iovlen = iov.len();
        let flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as usize;
        // SAFETY: the vectors are the caller's, with memory to be read into.
        let n = unsafe { call(nr, [fd as usize, &raw const message as usize, flags, 0, 0, 0]) };
        match n as i64 {
            0 => return Err(EIO),
            e if e == -i64::from(libc::EINTR) => {}
            e if e == -i64::from(libc::EAGAIN) && patience.is_some() => {}
            e if e == -i64::from(libc::EAGAIN) && begun => return Err(EIO),
            e if e < 0 => return Err(e),
            _ => {
                begun = true;
                iov = used_up(iov, n as usize);
            }
        }
    }
    Ok(())
}

fn used_up(mut iov: &mut [Iov], mut bytes: usize) -> &mut [Iov] {
    while bytes > 0 {
        let first = &mut iov[0];
        let part = bytes.min(first.len);
        first.base += part;
        first.len -= part;
        bytes -= part;
        if first.len == 0 {
            iov = &mut iov[1..];
        }
    }
    iov
}

pub(super) fn send(fd: i32, bytes: &[u8], patience: Option<Patience>) -> Result<(), i64> {
    let mut iov = [Iov { base: bytes.as_ptr() as usize, len: bytes.len() }];
    move_all(fd, &mut iov, libc::SYS_sendmsg, patience)
}

pub(super) fn receive(fd: i32, to: &mut [u8], patience: Option<Patience>) -> Result<(), i64> {
    let mut iov = [Iov { base: to.as_mut_ptr() as usize, len: to.len() }];
    move_all(fd, &mut iov, libc::SYS_recvmsg, patience)
}
