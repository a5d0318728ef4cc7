// SPDX-License-Identifier: GPL-2.0-only
//! Negative errnos as the dispatch carries them.

use crate::sys::host::Ret;

macro_rules! errnos {
    ($($name:ident)*) => { $(pub const $name: Ret = -(libc::$name as Ret);)* };
}
errnos!(EPERM ENOENT E2BIG EINTR EIO EBADF EACCES EFBIG EFAULT EBUSY EXDEV ENODEV ENOTDIR EISDIR EINVAL EMFILE EPIPE ENAMETOOLONG
        ENOSYS ELOOP ENOMEM ENOEXEC EEXIST ENXIO ELIBBAD);

/// Restart codes that leave the kernel library raw (include/linux/errno.h): not for the application.
pub const ERESTARTSYS: Ret = -512;
pub const ERESTARTNOINTR: Ret = -513;
pub const ERESTARTNOHAND: Ret = -514;
pub const ERESTART_RESTARTBLOCK: Ret = -516;

/// The errno's symbol, for messages.
pub fn name(ret: Ret) -> &'static str {
    match -ret as i32 {
        libc::EPERM => "operation not permitted (EPERM)",
        libc::ENOENT => "no such file or directory (ENOENT)",
        libc::EIO => "input/output error (EIO)",
        libc::ENXIO => "no such device or address (ENXIO)",
        libc::EACCES => "permission denied (EACCES)",
        libc::EBUSY => "device or resource busy (EBUSY)",
        libc::EFBIG => "file too large (EFBIG)",
        libc::EDQUOT => "disk quota exceeded (EDQUOT)",
        libc::ENODEV => "no such device (ENODEV)",
        libc::ENOTDIR => "not a directory (ENOTDIR)",
        libc::EISDIR => "is a directory (EISDIR)",
        libc::EINVAL => "invalid argument (EINVAL)",
        libc::ENOSPC => "no space left on device (ENOSPC)",
        libc::EROFS => "read-only file system (EROFS)",
        libc::ENOMEM => "out of memory (ENOMEM)",
        libc::EMFILE => "too many open files (EMFILE)",
        libc::EUCLEAN => "file system needs cleaning (EUCLEAN)",
        libc::EBADMSG => "bad message: checksum failed (EBADMSG)",
        libc::ECONNREFUSED => "connection refused (ECONNREFUSED)",
        libc::ETIMEDOUT => "timed out (ETIMEDOUT)",
        libc::ENOSYS => "not supported (ENOSYS)",
        _ => "error",
    }
}
