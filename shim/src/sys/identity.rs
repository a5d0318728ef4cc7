// SPDX-License-Identifier: GPL-2.0-only
//! What tells one file of the host from another.

use crate::sys::fs;

/// The file system, and the file's number in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    dev: u64,
    ino: u64,
}

impl Identity {
    /// The file at a path, whose NUL-ended text is at this address; flags of newfstatat(2).
    pub fn at(dirfd: i32, path: usize, flags: i32) -> Option<Identity> {
        fs::stat_at(dirfd, path, flags).ok().map(|status| Identity::of_status(&status))
    }

    /// The file that a descriptor has open.
    pub fn of(fd: i32) -> Option<Identity> {
        fs::stat(fd).ok().map(|status| Identity::of_status(&status))
    }

    /// The same as numbers.
    pub fn words(self) -> [u64; 2] {
        [self.dev, self.ino]
    }

    /// The file that a call of the stat family described.
    pub fn of_status(status: &libc::stat) -> Identity {
        Identity { dev: status.st_dev, ino: status.st_ino }
    }
}
