// SPDX-License-Identifier: GPL-2.0-only
//! Placeholders: what the host has at the number of a kernel file.

use core::sync::atomic::{AtomicI32, Ordering};

use super::{reserve, Keep, LIMIT};
use crate::sys::decimal::FdPath;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, OwnedFd, AT_FDCWD};

/// The descriptor that placeholders are copies of, -1 before the boot.
static MASTER: AtomicI32 = AtomicI32::new(-1);

fn master() -> i32 {
    MASTER.load(Ordering::Relaxed)
}

/// The master was closed.
pub(super) fn forget_master() {
    MASTER.store(-1, Ordering::Relaxed);
}

/// Makes the master placeholder. Called once, at boot.
pub fn make_master() -> Result<()> {
    if master() < 0 {
        let fd = reserve(open_unusable()?.raw(), Keep::InProcess).map_err(|_| Errno::EMFILE)?;
        MASTER.store(fd, Ordering::Relaxed);
    }
    Ok(())
}

/// An unnamed socket, because nothing can open one: neither reading nor writing is possible through the O_PATH
/// descriptor, and /proc/self/fd/N of a placeholder gives ENXIO instead of an empty file.
fn open_unusable() -> Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    let of_socket = fs::unix_socket(libc::SOCK_DGRAM)
        .and_then(|socket| fs::open_at(AT_FDCWD, FdPath::new(socket.raw() as usize).address(), flags, 0));
    // No /proc: any O_PATH descriptor does, it is only harder to recognise for a person.
    of_socket.or_else(|_| fs::open(c"/", flags, 0))
}

/// Opens a placeholder at the lowest free number from `min` on.
pub fn placeholder(min: usize, cloexec: bool) -> Result<i32> {
    // With RLIMIT_NOFILE 0 no number is below the limit: to open(2) there is none left, to F_DUPFD the number is wrong.
    let fd = fs::copy_from(master(), min, cloexec).map_err(|e| match e {
        Errno::EINVAL if min == 0 => Errno::EMFILE,
        e => e,
    })?;
    if fd as usize >= LIMIT {
        fs::close(fd);
        return Err(Errno::EMFILE);
    }
    Ok(fd)
}

/// Puts a placeholder at exactly `fd`, which is open as a host file that goes away.
pub fn placeholder_at(fd: usize, cloexec: bool) -> Result {
    fs::copy_onto(master(), fd, cloexec)
}

/// Whether a descriptor that was inherited can be a placeholder.
pub fn is_placeholder(number: usize) -> bool {
    number < LIMIT && fs::open_flags(number as i32).is_ok_and(|flags| flags & libc::O_PATH != 0)
}
