// SPDX-License-Identifier: GPL-2.0-only
//! A request done on the calling thread.
//!
//! # Safety
//! The vectors of a request are memory of the kernel's that the driver gave for it.
#![allow(unsafe_code)]

use super::bounce::BounceBuffer;
use super::device::Kind;
use super::request::{moved, Request, DISCARD, FLUSH, FUA, READ, WRITE, ZERO};
use super::{discard, past_limit};
use crate::sys::{call, file};

const EAGAIN: i64 = -(libc::EAGAIN as i64);

/// Does all of a request, however long that takes: 0 or -errno.
pub(crate) fn perform(r: &mut Request) -> i64 {
    match r.op {
        READ => all(r, libc::SYS_preadv2, 0),
        WRITE if r.is(FUA) => all(r, libc::SYS_pwritev2, libc::RWF_DSYNC),
        WRITE => all(r, libc::SYS_pwritev2, 0),
        FLUSH => file::sync_data(r.fd).map_or_else(|e| -i64::from(e.into_raw()), |()| 0),
        DISCARD => discard::discard(r.device(), r.off, r.len),
        ZERO => discard::zero(r.device(), r.off, r.len),
        _ => -i64::from(libc::EOPNOTSUPP),
    }
}

/// Does what needs no waiting: of a read what the host has cached, of a write what its cache takes.
/// `None`: there is something left to do.
pub(crate) fn attempt(r: &mut Request) -> Option<i64> {
    let nr = match r.op {
        READ => libc::SYS_preadv2,
        WRITE if !r.is(FUA) => libc::SYS_pwritev2,
        _ => return None,
    };
    let device = r.device();
    let write = r.op == WRITE;
    if !device.may_try(write) {
        return device.never_waits().then(|| perform(r));
    }
    match all(r, nr, libc::RWF_NOWAIT) {
        EAGAIN => None,
        // not of this file system; some bytes may have been moved all the same
        e if e == -i64::from(libc::EOPNOTSUPP) && device.kind != Kind::Nbd => {
            device.do_not_try(write);
            device.never_waits().then(|| perform(r))
        }
        result => Some(result),
    }
}

/// Moves all the bytes, or returns an error; what was moved is used up then.
fn all(r: &mut Request, nr: i64, flags: i32) -> i64 {
    if past_limit::is_past_limit(r) {
        return past_limit::write(r);
    }
    let fd = r.fd as usize;
    let bounce_buffer = (r.op == READ).then(|| BounceBuffer::for_read(r)).flatten();
    while r.n > 0 {
        if let Some(bounce_buffer) = &bounce_buffer {
            match bounce_buffer.read(r, flags) {
                Ok(()) => continue,
                Err(e) => return e,
            }
        }
        let args = [fd, r.iov as usize, r.n as usize, r.off as usize, 0, flags as usize];
        // SAFETY: the driver's vectors.
        match moved(unsafe { call(nr, args) }) {
            Ok(bytes) => r.advance(bytes),
            Err(e) => return e,
        }
    }
    0
}
