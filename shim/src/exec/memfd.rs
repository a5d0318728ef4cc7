// SPDX-License-Identifier: GPL-2.0-only
//! A program on an image: copied into a memfd, from which the host can map it.

use crate::exec::pages::Block;
use crate::instance::enter::{section, Door};
use crate::lookup::route::Spot;
use crate::sys::errno::{EACCES, EIO, ENOMEM};
use crate::sys::host::{self, Ret};

const CHUNK: usize = 256 << 10;
const EMPTY_PATH: usize = libc::AT_EMPTY_PATH as usize;

/// Copies the file at `spot`; a descriptor or -errno. Its path is written into `exe`, and its length into
/// `exe_len`.
pub fn copy(spot: &Spot, flags: usize, exe: &mut [u8], exe_len: &mut usize) -> Ret {
    let Some(mut room) = Block::new(CHUNK) else { return ENOMEM };
    let name = c"stowaway-program".as_ptr() as usize;
    let memfd = host::call(libc::SYS_memfd_create, &[name, libc::MFD_CLOEXEC as usize]);
    if memfd < 0 {
        return memfd;
    }
    let mut copy = |door: &mut Door<'_>| -> Result<(), Ret> {
        let (dirfd, path) = spot.kernel_at(door)?;
        let access = [dirfd, path, libc::X_OK as usize, libc::AT_EACCESS as usize | flags & EMPTY_PATH, 0, 0];
        ok(door.call(libc::SYS_faccessat2, &access))?;
        let opened = open(door, dirfd, path, flags)?;
        let file = opened.unwrap_or(dirfd);
        let n =
            door.call(lkl::Private::FdPath as i64, &[file, exe.as_mut_ptr() as usize, exe.len(), 0, 0, 0]);
        // It counts the NUL.
        *exe_len = (n - 1).max(0) as usize;
        let r = fill(door, file, memfd as usize, room.bytes());
        if opened.is_some() {
            door.call(libc::SYS_close, &[file, 0, 0, 0, 0, 0]);
        }
        r
    };
    match section(|door| copy(door).map_or_else(|e| e, |()| 0)) {
        0 => memfd,
        e => {
            host::close(memfd as i32);
            e
        }
    }
}

fn ok(r: Ret) -> Result<usize, Ret> {
    usize::try_from(r).map_err(|_| r)
}

/// Opens the file; `None`: it is open already, as `dirfd`.
fn open(door: &mut Door<'_>, dirfd: usize, path: usize, flags: usize) -> Result<Option<usize>, Ret> {
    if flags & EMPTY_PATH != 0 && crate::sys::user::read::<u8>(path) == Ok(0) {
        return Ok(None);
    }
    let follow = if flags & libc::AT_SYMLINK_NOFOLLOW as usize != 0 { libc::O_NOFOLLOW } else { 0 };
    let how = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | follow) as usize;
    let file = ok(door.call(libc::SYS_openat, &[dirfd, path, how, 0, 0, 0]))?;
    Ok(Some(file))
}

/// Copies a kernel file to a host descriptor. A directory or device is no program.
fn fill(door: &mut Door<'_>, file: usize, to: usize, room: &mut [u8]) -> Result<(), Ret> {
    let address = room.as_mut_ptr() as usize;
    let mut done = 0;
    loop {
        match door.call(libc::SYS_pread64, &[file, address, room.len(), done, 0, 0]) {
            0 => return Ok(()),
            n if n < 0 => return Err(if n == EIO { n } else { EACCES }),
            n => {
                if host::call(libc::SYS_pwrite64, &[to, address, n as usize, done]) != n {
                    return Err(ENOMEM);
                }
                done += n as usize;
            }
        }
    }
}
