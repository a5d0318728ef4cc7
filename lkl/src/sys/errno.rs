// SPDX-License-Identifier: GPL-2.0-only
//! Errors of the host and of the kernel library, and their two forms: a `Result` inside, a negative number at the edge.
//!
//! The type is that of the crate `syscalls`. It carries the positive number of errno.h, or a restart code of the kernel
//! library (include/linux/errno.h, 512 and up), which is not for applications.

pub use syscalls::Errno;

/// Takes a raw result in kernel ABI apart: -4095..=-1 is an error.
#[inline]
pub fn check(raw: isize) -> Result<usize, Errno> {
    Errno::from_ret(raw as usize)
}

/// The raw result in kernel ABI of a call that returned `result`: the reverse of [`check`].
#[inline]
pub fn to_raw(result: Result<usize, Errno>) -> isize {
    match result {
        Ok(value) => value as isize,
        Err(errno) => -(errno.into_raw() as isize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_results_are_taken_apart_and_put_together() {
        for raw in [0, 7, isize::MAX, -1, -4095, -4096, -512] {
            assert_eq!(to_raw(check(raw)), raw);
        }
        assert_eq!(check(-2), Err(Errno::ENOENT));
        assert_eq!(check(-4096), Ok(-4096isize as usize));
    }
}
