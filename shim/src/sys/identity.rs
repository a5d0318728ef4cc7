// SPDX-License-Identifier: GPL-2.0-only
//! What tells one file of the host from another.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use crate::sys::host::{self, Ret};

/// The file system, and the file's number in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    dev: u64,
    ino: u64,
}

impl Identity {
    /// The file at a path, whose NUL-ended text is at this address; flags of newfstatat(2).
    pub fn at(dirfd: usize, path: usize, flags: usize) -> Option<Identity> {
        status(dirfd, path, flags).map(|status| Identity::of_status(&status))
    }

    /// The file that a descriptor has open.
    pub fn of(fd: usize) -> Option<Identity> {
        filled(|to| host::call(libc::SYS_fstat, &[fd, to])).map(|status| Identity::of_status(&status))
    }

    pub fn of_status(status: &libc::stat) -> Identity {
        Identity { dev: status.st_dev, ino: status.st_ino }
    }
}

/// newfstatat(2); None: it failed.
pub fn status(dirfd: usize, path: usize, flags: usize) -> Option<libc::stat> {
    filled(|to| host::call(libc::SYS_newfstatat, &[dirfd, path, to, flags]))
}

/// What a call of the stat family writes at the address it gets.
fn filled(call: impl FnOnce(usize) -> Ret) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    let r = call(status.as_mut_ptr() as usize);
    // SAFETY: filled; and all zeroes is a valid one.
    (r == 0).then(|| unsafe { status.assume_init() })
}
