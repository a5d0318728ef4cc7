// SPDX-License-Identifier: GPL-2.0-only
//! The absolute path of a directory.

use crate::fdtable::{self, Owner};
use crate::instance::enter::enter_kernel;
use crate::lookup::cwd;
use crate::sys::call::{self, args};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::scratch::PATH_MAX;

/// Writes the absolute path of a directory (a descriptor or the current one) into `into`; its length.
/// ENOENT: the directory was deleted, or is out of reach.
pub fn path_of(dirfd: i32, into: &mut [u8; PATH_MAX]) -> Result {
    if dirfd < 0 && dirfd != AT_FDCWD {
        return Err(Errno::EBADF);
    }
    let n = match dirfd {
        AT_FDCWD => of_current(into)?,
        fd => of_descriptor(fd, into)?,
    };
    if n == 0 || into[0] != b'/' {
        return Err(Errno::ENOENT);
    }
    Ok(n)
}

/// What getcwd says, without the NUL that it counts.
fn of_current(into: &mut [u8; PATH_MAX]) -> Result {
    let getcwd = args([into.as_mut_ptr() as usize, into.len()]);
    let n = match fdtable::owner_of_class(cwd::class())? {
        Owner::Host => call::host(libc::SYS_getcwd, &getcwd)?,
        Owner::Kernel => enter_kernel(|context| context.call(libc::SYS_getcwd, &getcwd))?,
    };
    Ok(n.saturating_sub(1))
}

fn of_descriptor(fd: i32, into: &mut [u8; PATH_MAX]) -> Result {
    match fdtable::owner(fd as usize)? {
        Owner::Host => fs::read_fd_link(fd, into).map_err(|e| match e {
            // No such entry in /proc/self/fd: not open.
            Errno::ENOENT => Errno::EBADF,
            e => e,
        }),
        Owner::Kernel => {
            let args = args([fd as usize, into.as_mut_ptr() as usize, into.len()]);
            let n = enter_kernel(|context| context.call(lkl::Private::FdPath as i64, &args))?;
            // The NUL is counted.
            Ok(n.saturating_sub(1))
        }
    }
}
