// SPDX-License-Identifier: GPL-2.0-only
//! Space given back to the host, and zeroes without writing them.

use super::device::{Device, Kind};
use crate::sys::host;

const NOT_SUPPORTED: i64 = -(libc::EOPNOTSUPP as i64);
/// linux/fs.h
const BLKDISCARD: usize = 0x1277;
const BLKZEROOUT: usize = 0x127f;

/// The contents do not matter any more.
pub(crate) fn discard(d: &Device, off: u64, len: u64) -> i64 {
    match d.kind {
        Kind::Block => range(d, BLKDISCARD, off, len),
        _ => allocate(d, libc::FALLOC_FL_PUNCH_HOLE, off, len),
    }
}

/// Zeroes; `-EOPNOTSUPP`: the kernel writes them.
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
    supported(host(libc::SYS_ioctl, [d.fd as usize, request, range.as_ptr() as usize, 0, 0, 0]))
}

fn allocate(d: &Device, how: i32, off: u64, len: u64) -> i64 {
    let mode = (how | libc::FALLOC_FL_KEEP_SIZE) as usize;
    loop {
        let r = host(libc::SYS_fallocate, [d.fd as usize, mode, off as usize, len as usize, 0, 0]);
        if r != -(libc::EINTR as isize) {
            return supported(r);
        }
    }
}

/// The host's ways of saying that it cannot.
fn supported(result: isize) -> i64 {
    match -result as i32 {
        libc::EOPNOTSUPP | libc::ENOSYS | libc::ENOTTY | libc::EINVAL => NOT_SUPPORTED,
        _ => result as i64,
    }
}
