// SPDX-License-Identifier: GPL-2.0-only
//! Space given back to the host, and zeroes without writing them.
//!
//! # Safety
//! The ioctls read a range that is on the caller's stack.
#![allow(unsafe_code)]

use super::device::{Device, Kind};
use crate::sys::{file, Errno};

const NOT_SUPPORTED: i64 = -(libc::EOPNOTSUPP as i64);
/// linux/fs.h
const BLKDISCARD: usize = 0x1277;
const BLKZEROOUT: usize = 0x127f;

/// Discards a range: its contents do not matter any more.
pub(crate) fn discard(d: &Device, off: u64, len: u64) -> i64 {
    match d.kind {
        Kind::Block => range(d, BLKDISCARD, off, len),
        _ => allocate(d, libc::FALLOC_FL_PUNCH_HOLE, off, len),
    }
}

/// Makes a range read as zeroes; `-EOPNOTSUPP`: the kernel writes the zeroes.
pub(crate) fn zero(d: &Device, off: u64, len: u64) -> i64 {
    if d.kind == Kind::Block {
        return range(d, BLKZEROOUT, off, len);
    }
    // A hole reads as zeroes, too, where the host's file system knows holes only.
    match allocate(d, libc::FALLOC_FL_ZERO_RANGE, off, len) {
        NOT_SUPPORTED => allocate(d, libc::FALLOC_FL_PUNCH_HOLE, off, len),
        result => result,
    }
}

fn range(d: &Device, request: usize, off: u64, len: u64) -> i64 {
    let range = [off, len];
    // SAFETY: both requests read two u64.
    supported(unsafe { file::ioctl(d.fd, request, range.as_ptr() as usize) }.map(drop))
}

fn allocate(d: &Device, how: i32, off: u64, len: u64) -> i64 {
    loop {
        match file::allocate(d.fd, how | libc::FALLOC_FL_KEEP_SIZE, off, len) {
            Err(Errno::EINTR) => {}
            result => return supported(result),
        }
    }
}

/// The host's ways of saying that it cannot.
fn supported(result: Result<(), Errno>) -> i64 {
    match result {
        Ok(()) => 0,
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::ENOTTY | Errno::EINVAL) => NOT_SUPPORTED,
        Err(e) => -i64::from(e.into_raw()),
    }
}
