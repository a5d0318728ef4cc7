// SPDX-License-Identifier: GPL-2.0-only
//! Error numbers: positive inside an [`Errno`], negative in a raw result.

use std::ffi::c_int;
use std::fmt;

/// An error number as in errno.h, or a restart code of the kernel library.
///
/// `Errno(n)` and [`Errno::code`] carry the positive number. [`Errno::check`] and [`Errno::raw`] convert from and
/// to a raw result in kernel ABI, where the number is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub c_int);

impl Errno {
    /// Takes a raw result apart: -4095..=-1 is an error.
    #[inline]
    pub fn check(raw: isize) -> Result<usize, Errno> {
        if (-4095..0).contains(&raw) {
            Err(Errno(-raw as c_int))
        } else {
            Ok(raw as usize)
        }
    }

    /// The positive number of errno.h.
    #[inline]
    pub const fn code(self) -> c_int {
        self.0
    }

    /// The raw result in kernel ABI: the negative number.
    #[inline]
    pub const fn raw(self) -> isize {
        -(self.0 as isize)
    }

    /// The raw result in kernel ABI of a call that returned `result`: the reverse of [`Errno::check`].
    #[inline]
    pub fn to_raw(result: Result<usize, Errno>) -> isize {
        result.map_or_else(Errno::raw, |value| value as isize)
    }

    /// Restart codes (include/linux/errno.h) that the kernel library returns raw. They are not for applications.
    pub const ERESTARTSYS: Errno = Errno(512);
    /// See [`Errno::ERESTARTSYS`].
    pub const ERESTARTNOINTR: Errno = Errno(513);
    /// See [`Errno::ERESTARTSYS`].
    pub const ERESTARTNOHAND: Errno = Errno(514);
    /// See [`Errno::ERESTARTSYS`].
    pub const ERESTART_RESTARTBLOCK: Errno = Errno(516);
}

macro_rules! errnos {
    ($($name:ident)*) => {
        /// The numbers of errno.h.
        #[allow(missing_docs)] // errno(3) has them
        impl Errno { $(pub const $name: Errno = Errno(libc::$name);)* }
    };
}
errnos!(E2BIG EACCES EAGAIN EBADF EBADMSG EBUSY ECANCELED ECHILD ECONNREFUSED EDQUOT EEXIST EFAULT EFBIG EINTR EINVAL EIO
        EISDIR ELIBBAD ELOOP EMFILE ENAMETOOLONG ENODEV ENOENT ENOEXEC ENOMEM ENOSPC ENOSYS ENOTBLK ENOTDIR ENOTTY ENXIO
        EOPNOTSUPP EPERM EPIPE ERANGE EROFS ESRCH ETIMEDOUT EUCLEAN EXDEV);

impl From<Errno> for isize {
    fn from(errno: Errno) -> isize {
        errno.raw()
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}", self.0)
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_results_are_taken_apart_and_put_together() {
        for raw in [0, 7, isize::MAX, -1, -4095, -4096, -512] {
            assert_eq!(Errno::to_raw(Errno::check(raw)), raw);
        }
        assert_eq!(Errno::check(-2), Err(Errno::ENOENT));
        assert_eq!(Errno::check(-4096), Ok(-4096isize as usize));
        assert_eq!((Errno::EIO.code(), Errno::EIO.raw()), (5, -5));
    }
}
