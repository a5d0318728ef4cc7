// SPDX-License-Identifier: GPL-2.0-only
//! Reads of what the host has in its cache right into the application's memory, past the kernel's own cache
//! (`fs/read_around.c` of the overlay).
//!
//! # Safety
//! The host writes to the application's memory for a call of the application, at the address that the call gave. What is no
//! memory, or not the application's to write, ends with EFAULT.
#![allow(unsafe_code)]

use super::device::{Device, Kind};
use crate::sys::call;

const EAGAIN: i64 = -(libc::EAGAIN as i64);
const EOPNOTSUPP: i64 = -(libc::EOPNOTSUPP as i64);

/// `ops.blk_read_around`: bytes, or -errno. Never waits for a disk.
pub(crate) unsafe extern "C" fn read_around(number: u64, off: u64, to: usize, len: usize) -> i64 {
    let Some(device) = Device::find(number).filter(|device| device.kind != Kind::Nbd) else {
        return EOPNOTSUPP;
    };
    if device.never_waits() {
        return read(device, off, to, len, 0);
    }
    if !device.may_try(false) {
        return EOPNOTSUPP;
    }
    let result = read(device, off, to, len, libc::RWF_NOWAIT);
    if result == EOPNOTSUPP {
        device.do_not_try(false);
    }
    result
}

fn read(device: &Device, off: u64, to: usize, len: usize, flags: i32) -> i64 {
    let vector = libc::iovec { iov_base: to as *mut libc::c_void, iov_len: len };
    let at = (device.start + off) as usize;
    let args = [device.fd as usize, &raw const vector as usize, 1, at, 0, flags as usize];
    loop {
        // SAFETY: see above.
        let result = unsafe { call(libc::SYS_preadv2, args) } as i64;
        if result != -(libc::EINTR as i64) {
            // The image has become shorter: the kernel's own read says what there is to say.
            return if result == 0 { EAGAIN } else { result };
        }
    }
}
