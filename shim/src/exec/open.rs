// SPDX-License-Identifier: GPL-2.0-only
//! Opens what is to be executed, wherever it lies.

use crate::exec::memfd;
use crate::exec::request::File;
use crate::fdtable::put_number;
use crate::lookup::route::{with_path, AT_FDCWD};
use crate::sys::errno::{EACCES, ENOENT, ENXIO};
use crate::sys::host::{self, Ret};
use crate::sys::user;

/// What became of it.
pub enum Opened {
    File(File),
    /// It may be executed and not read.
    Unreadable,
}

const HOW: i32 = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;

/// Opens what an execveat with these arguments would execute. A program in a mount is copied, and its path written
/// into `exe`, whose length comes back.
pub fn open(dirfd: i32, path: usize, flags: usize, exe: &mut [u8]) -> Result<(Opened, usize), Ret> {
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW as usize == 0;
    let mut unreadable = false;
    let mut exe_len = 0;
    let r = with_path(dirfd as usize, path, follow, |spot| {
        if !spot.is_host() {
            return memfd::copy(spot, flags, exe, &mut exe_len);
        }
        let r = open_on_host(spot.dirfd, spot.path, flags);
        unreadable = r == EACCES && is_executable(spot.dirfd, spot.path, flags);
        r
    });
    match r {
        EACCES if unreadable => Ok((Opened::Unreadable, 0)),
        e if e < 0 => Err(e),
        fd => Ok((Opened::File(File(fd as i32)), exe_len)),
    }
}

fn open_on_host(dirfd: i32, path: usize, flags: usize) -> Ret {
    let follow = if flags & libc::AT_SYMLINK_NOFOLLOW as usize != 0 { libc::O_NOFOLLOW } else { 0 };
    let ask = |dirfd: i32, path: usize, how: i32| {
        match host::call(libc::SYS_openat, &[dirfd as usize, path, how as usize, 0]) {
            // A socket, or a device without a driver.
            ENXIO => EACCES,
            r => r,
        }
    };
    if flags & libc::AT_EMPTY_PATH as usize == 0 || user::read::<u8>(path) != Ok(0) {
        return ask(dirfd, path, HOW | follow);
    }
    let mut name = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
    put_number(&mut name[14..], dirfd as u32 as usize);
    match ask(AT_FDCWD, name.as_ptr() as usize, HOW) {
        // Not open, or no /proc here: a copy of the descriptor says which, and serves if it can be read.
        ENOENT => host::call(libc::SYS_fcntl, &[dirfd as usize, libc::F_DUPFD_CLOEXEC as usize, 0]),
        r => r,
    }
}

fn is_executable(dirfd: i32, path: usize, flags: usize) -> bool {
    let kept = (libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) as usize;
    let flags = flags & kept | libc::AT_EACCESS as usize;
    host::call(libc::SYS_faccessat2, &[dirfd as usize, path, libc::X_OK as usize, flags]) == 0
}
