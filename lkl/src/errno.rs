// SPDX-License-Identifier: GPL-2.0-only
//! Error numbers, positive inside [`Errno`], negative in a raw result.

use std::ffi::c_int;
use std::fmt;

/// An error number as in errno.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl Errno {
    /// Takes a result in kernel ABI apart: -4095..=-1 is an error.
    pub fn check(raw: isize) -> Result<usize, Errno> {
        if (-4095..0).contains(&raw) {
            Err(Errno(-raw as c_int))
        } else {
            Ok(raw as usize)
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}", self.0)
    }
}

impl std::error::Error for Errno {}
