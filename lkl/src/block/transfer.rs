// SPDX-License-Identifier: GPL-2.0-only
//! A request done on the calling thread.

use super::device::Kind;
use super::fresh::Detour;
use super::request::{Request, DISCARD, FLUSH, FUA, READ, WRITE, ZERO};
use super::space;
use crate::sys::{file_size_limit, host};

const EAGAIN: i64 = -(libc::EAGAIN as i64);
const EFBIG: i64 = -(libc::EFBIG as i64);
const EIO: i64 = -(libc::EIO as i64);

/// Does all of it, however long that takes: 0 or -errno.
pub(crate) fn perform(r: &mut Request) -> i64 {
    match r.op {
        READ => all(r, libc::SYS_preadv2, 0),
        WRITE if r.is(FUA) => all(r, libc::SYS_pwritev2, libc::RWF_DSYNC),
        WRITE => all(r, libc::SYS_pwritev2, 0),
        FLUSH => host(libc::SYS_fdatasync, [r.device().fd as usize, 0, 0, 0, 0, 0]) as i64,
        DISCARD => space::discard(r.device(), r.off, r.len),
        ZERO => space::zero(r.device(), r.off, r.len),
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
    if r.op == WRITE && r.device().kind == Kind::File && file_size_limit() < r.off + r.len {
        // The host would kill the program for it (SIGXFSZ), whose file this is not.
        return EFBIG;
    }
    let fd = r.device().fd as usize;
    let detour = (r.op == READ).then(|| Detour::for_read(r)).flatten();
    while r.n > 0 {
        if let Some(detour) = &detour {
            match detour.read(r, flags) {
                Ok(()) => continue,
                Err(e) => return e,
            }
        }
        let args = [fd, r.iov as usize, r.n as usize, r.off as usize, 0, flags as usize];
        match moved(host(nr, args)) {
            Ok(bytes) => r.advance(bytes),
            Err(e) => return e,
        }
    }
    0
}

/// Bytes moved (0 after EINTR: again), or -errno; nothing at all means that the file ends early.
pub(crate) fn moved(result: isize) -> Result<usize, i64> {
    const EINTR: isize = -(libc::EINTR as isize);
    match result {
        EINTR => Ok(0),
        0 => Err(EIO),
        r if r < 0 => Err(r as i64),
        r => Ok(r as usize),
    }
}
