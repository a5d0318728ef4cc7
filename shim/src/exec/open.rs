// SPDX-License-Identifier: GPL-2.0-only
//! Opens what is to be executed, wherever it lies.

use crate::exec::memfd;
use crate::exec::request::Request;
use crate::lookup::route::{with_path, PathArg};
use crate::lookup::target::ResolvedPath;
use crate::sys::decimal::FdPath;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, OwnedFd, AT_FDCWD};
use crate::sys::user;

/// What a path leads to.
pub enum Opened {
    /// A file.
    File(OwnedFd),
    /// A file that may be executed and not read.
    Unreadable,
}

const HOW: i32 = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;

/// Opens what an execveat with this directory, path and flags would execute. A program in a mount is copied, and its path
/// written into `exe`, whose length comes back (0: the file lies on the host).
pub fn open(dirfd: i32, path: usize, flags: i32, exe: &mut [u8]) -> Result<(Opened, usize)> {
    let asked = PathArg::new(dirfd as usize, path, flags & libc::AT_SYMLINK_NOFOLLOW == 0);
    let mut is_unreadable = false;
    let mut exe_len = 0;
    let fd = with_path(
        asked,
        |at| {
            let opened = open_on_host(at, flags);
            is_unreadable = opened.as_ref().err() == Some(&Errno::EACCES) && is_executable(at, flags);
            opened.map(|file| file.into_raw() as usize)
        },
        |context, at| {
            let (file, len) = memfd::copy(context, at, flags, exe)?;
            exe_len = len;
            Ok(file.into_raw() as usize)
        },
    );
    match fd {
        Err(Errno::EACCES) if is_unreadable => Ok((Opened::Unreadable, 0)),
        fd => Ok((Opened::File(fs::owned(fd? as i32)), exe_len)),
    }
}

fn open_on_host(at: &ResolvedPath, flags: i32) -> Result<OwnedFd> {
    let follow = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { libc::O_NOFOLLOW } else { 0 };
    let open = |dirfd, path, how| {
        fs::open_at(dirfd, path, how, 0).map_err(|e| match e {
            // A socket, or a device without a driver.
            Errno::ENXIO => Errno::EACCES,
            e => e,
        })
    };
    if flags & libc::AT_EMPTY_PATH == 0 || user::read::<u8>(at.path) != Ok(0) {
        return open(at.dirfd, at.path, HOW | follow);
    }
    match open(AT_FDCWD, FdPath::new(at.dirfd as u32 as usize).address(), HOW) {
        // Not open, or no /proc here: a copy of the descriptor says which, and serves if it can be read.
        Err(Errno::ENOENT) => fs::copy_from(at.dirfd, 0, true).map(fs::owned),
        opened => opened,
    }
}

fn is_executable(at: &ResolvedPath, flags: i32) -> bool {
    let flags = flags & (libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) | libc::AT_EACCESS;
    fs::access_with(at.dirfd, at.path, libc::X_OK, flags).is_ok()
}

/// Opens a program by its absolute path, for the loader.
pub fn open_path(path: usize, exe: &mut [u8]) -> Result<Opened> {
    open(AT_FDCWD, path, 0, exe).map(|(opened, _)| opened)
}

/// Opens what the request asks for.
pub fn open_request(request: &Request, exe: &mut [u8]) -> Result<(Opened, usize)> {
    open(request.dirfd, request.path, request.flags, exe)
}
