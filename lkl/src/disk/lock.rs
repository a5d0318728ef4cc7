// SPDX-License-Identifier: GPL-2.0-only
//! Who may use an image: one kernel that writes, or many that read. Everybody else who says that they use the image
//! is believed: by an open file description lock, a POSIX lock, flock(2), or the bytes that QEMU locks.
//!
//! QEMU's programs lock single bytes of an image, one for each thing they do and one for each that they do not want
//! others to do (QEMU's block/file-posix.c). Whoever writes all of an image has a write lock of all bytes. Whoever reads
//! has read locks of all bytes but those of "does", and looks whether somebody does what a reader cannot bear.

use super::error::DiskError;
use super::lock_owner;
use crate::sys::{file, Errno};
use std::ops::Range;

/// QEMU: what its programs do, a byte each.
const DOES: Range<u64> = 100..200;
/// QEMU: what nobody else may do, a byte each.
const DENIES: Range<u64> = 200..300;
/// Bits of both: writing, writing what is there already, changing the size.
const WRITES: Range<u64> = 1..4;

/// The part of an image that is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    pub(super) read_only: bool,
    /// A partition's range; `None`: all of the image.
    pub(super) part: Option<(u64, u64)>,
}

/// Locks the image behind `fd`. The locks belong to this descriptor and not to the process, so that an unrelated
/// close() of the same file by the application does not drop them. After an error nothing is locked.
pub(super) fn lock(fd: i32, used: Use) -> Result<(), DiskError> {
    ranges(fd, used).and_then(|()| advisory(fd, used)).map_err(|e| {
        file::unlock(fd);
        match e {
            Errno::EAGAIN | Errno::EACCES => DiskError::Busy { pid: lock_owner::find(fd) },
            e => DiskError::Io(e),
        }
    })
}

fn ranges(fd: i32, used: Use) -> Result<(), Errno> {
    let Use { read_only, part } = used;
    let read =
        |bytes: Range<u64>| file::set_ofd_lock(fd, libc::F_RDLCK, bytes.start, bytes.end - bytes.start);
    let denied = DENIES.start + WRITES.start..DENIES.start + WRITES.end;
    match (part, read_only) {
        (None, false) => return file::set_ofd_lock(fd, libc::F_WRLCK, 0, 0),
        (None, true) => {
            read(0..DOES.start)?;
            file::set_ofd_lock(fd, libc::F_RDLCK, denied.start, 0)?;
        }
        (Some((start, len)), _) => {
            let kind = if read_only { libc::F_RDLCK } else { libc::F_WRLCK };
            file::set_ofd_lock(fd, kind, start, len)?;
            read(denied)?;
        }
    }
    // A reader bears those who read; a writer of a part bears nobody who has all of the image.
    let unbearable = match read_only {
        true => DOES.start + WRITES.start..DOES.start + WRITES.end,
        false => DOES,
    };
    let len = unbearable.end - unbearable.start;
    match file::held_lock(fd, libc::F_WRLCK, unbearable.start, len)? {
        // Of more bytes than QEMU's programs lock: somebody else's, who only reads.
        Some(lock) if !lock.exclusive && (lock.bytes.start < DOES.start || lock.bytes.end > DENIES.end) => {
            Ok(())
        }
        Some(_) => Err(Errno::EAGAIN),
        None => Ok(()),
    }
}

/// flock(2). A part of an image is not in the way of another part.
fn advisory(fd: i32, used: Use) -> Result<(), Errno> {
    /// NFS and CIFS make range locks of it, which would be in the way of our own.
    const REMOTE: [i64; 3] = [0x6969, 0xff53_4d42, 0xfe53_4d42];
    if file::file_system_of(fd).is_ok_and(|magic| REMOTE.contains(&magic)) {
        return Ok(());
    }
    let kind = match used {
        Use { read_only: false, part: None } => libc::LOCK_EX,
        _ => libc::LOCK_SH,
    };
    match file::flock(fd, kind | libc::LOCK_NB) {
        // No such locks there.
        Err(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOLCK) => Ok(()),
        result => result,
    }
}
