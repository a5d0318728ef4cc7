// SPDX-License-Identifier: GPL-2.0-only
//! Writes to an image file beyond the process's file size limit (RLIMIT_FSIZE). The limit is the program's, for the
//! program's files, and the image is not one of these. The host would refuse the write and send SIGXFSZ.
//!
//! The limit holds for write(2) and its kin, and not for a mapping of the file. So the bytes go through one. The host copies
//! them: where the disk is full, or the file was cut short, an error comes back and no SIGBUS.
//!
//! # Safety
//! The mapping is this function's alone. The vectors are memory of the kernel's that the driver gave for the request.
#![allow(unsafe_code)]

use super::device::Kind;
use super::request::{Iov, Request, EIO, FUA, WRITE};
use crate::sys::{file, memory, process, Errno, PAGE};

/// The most that is mapped at a time.
const WINDOW: usize = 1 << 20;

/// Whether the request is a write beyond the limit.
pub(crate) fn is_past_limit(r: &Request) -> bool {
    r.op == WRITE && r.device().kind == Kind::File && process::file_size_limit() < r.off + r.len
}

/// Does all that is left of a write: 0 or -errno.
pub(crate) fn write(r: &mut Request) -> i64 {
    while let Some(&first) = r.vectors().first() {
        match write_some(r.fd, first, r.off) {
            Ok(0) => return EIO,
            Ok(bytes) => r.advance(bytes),
            Err(e) => return -i64::from(e.into_raw()),
        }
    }
    match r.is(FUA).then(|| file::sync_data(r.fd)) {
        Some(Err(e)) => -i64::from(e.into_raw()),
        _ => 0,
    }
}

fn write_some(fd: i32, from: Iov, off: u64) -> Result<usize, Errno> {
    let before = off as usize % PAGE;
    let len = from.len.min(WINDOW - before);
    // A hole of a full disk says so here. Some file systems have no answer.
    match file::allocate(fd, libc::FALLOC_FL_KEEP_SIZE, off, len as u64) {
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
        Err(e) => return Err(e),
    }
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, which nothing refers to but the host's copy below.
    unsafe {
        let at = memory::map(0, before + len, prot, libc::MAP_SHARED, fd, off as usize - before)?;
        let done = process::copy_checked(from.base, at + before, len);
        memory::unmap(at, before + len);
        done
    }
}
