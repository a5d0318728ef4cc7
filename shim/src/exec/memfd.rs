// SPDX-License-Identifier: GPL-2.0-only
//! A program on an image: copied into a memory file, which the host can map and execute.

use crate::instance::enter::KernelContext;
use crate::lookup::target::KernelPath;
use crate::sys::call::args;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, OwnedFd};
use crate::sys::mem::Pages;
use crate::sys::user;

const CHUNK: usize = 256 << 10;

/// Copies the file at a path of the kernel, inside a section. The path is written into `exe`; its length comes back.
pub fn copy(
    context: &mut KernelContext,
    at: KernelPath,
    flags: i32,
    exe: &mut [u8],
) -> Result<(OwnedFd, usize)> {
    let mut room = Pages::new(CHUNK)?;
    let copy = fs::memory_file(c"stowaway-program")?;
    let KernelPath { dirfd, path, .. } = at;
    let check = (libc::AT_EACCESS | flags & libc::AT_EMPTY_PATH) as usize;
    context.call(libc::SYS_faccessat2, &args([dirfd, path, libc::X_OK as usize, check]))?;
    let opened = open(context, at, flags)?;
    let file = opened.unwrap_or(dirfd);
    let named =
        context.call(lkl::Private::FdPath as i64, &args([file, exe.as_mut_ptr() as usize, exe.len()]));
    let filled = match is_being_written(context, file) {
        true => Err(Errno::ETXTBSY),
        false => fill(context, file, copy.raw(), room.bytes()),
    };
    if opened.is_some() {
        let _ = context.call(libc::SYS_close, &args([file]));
    }
    filled?;
    // The NUL is counted.
    Ok((copy, named.unwrap_or(0).saturating_sub(1)))
}

/// Opens the file; None: the file is open already, as the path's directory.
fn open(context: &mut KernelContext, at: KernelPath, flags: i32) -> Result<Option<usize>> {
    if flags & libc::AT_EMPTY_PATH != 0 && user::read::<u8>(at.path) == Ok(0) {
        return Ok(None);
    }
    let follow = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { libc::O_NOFOLLOW } else { 0 };
    let how = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | follow) as usize;
    context.call(libc::SYS_openat, &args([at.dirfd, at.path, how])).map(Some)
}

/// Whether somebody has the file open for writing, which its owner and root can tell: such a file takes no lease (fcntl(2)).
fn is_being_written(context: &mut KernelContext, file: usize) -> bool {
    let lease = |context: &mut KernelContext, kind: i32| {
        context.call(libc::SYS_fcntl, &args([file, libc::F_SETLEASE as usize, kind as usize]))
    };
    let taken = lease(context, libc::F_RDLCK);
    if taken.is_ok() {
        let _ = lease(context, libc::F_UNLCK);
    }
    taken == Err(Errno::EAGAIN)
}

/// Copies a kernel file to a host descriptor. EACCES: a directory or device is no program.
fn fill(context: &mut KernelContext, file: usize, to: i32, room: &mut [u8]) -> Result<()> {
    let (address, len) = (room.as_mut_ptr() as usize, room.len());
    let mut done = 0;
    loop {
        match context.call(libc::SYS_pread64, &args([file, address, len, done])) {
            Ok(0) => return Ok(()),
            Err(Errno::EIO) => return Err(Errno::EIO),
            Err(_) => return Err(Errno::EACCES),
            Ok(n) => {
                if fs::write_at(to, &room[..n], done) != Ok(n) {
                    return Err(Errno::ENOMEM);
                }
                done += n;
            }
        }
    }
}
