// SPDX-License-Identifier: GPL-2.0-only
//! Whose the descriptors of one wait are.

use crate::fdtable::{self, Owner};
use crate::sys::errno::{Errno, Result};
use crate::sys::report::say_once;

/// Whose the descriptors seen so far are.
#[derive(Default)]
pub struct Owners {
    host: bool,
    kernel: bool,
    lost: bool,
}

impl Owners {
    /// Adds a descriptor. Our own count as the host's, which says that they are not open.
    pub fn add(&mut self, number: usize) {
        match fdtable::class(number) {
            fdtable::KERNEL => self.kernel = true,
            fdtable::LOST => self.lost = true,
            _ => self.host = true,
        }
    }

    /// The one owner of all; no descriptors are the host's. EINVAL: both, EIO: a lost one.
    pub fn one(&self) -> Result<Owner> {
        if self.lost {
            return Err(fdtable::refuse(fdtable::LOST));
        }
        if self.kernel && self.host {
            say_once!(
                "poll, select: waiting for files of the host and of the kernel in one call is not \
                 supported (EINVAL)"
            );
            return Err(Errno::EINVAL);
        }
        Ok(if self.kernel { Owner::Kernel } else { Owner::Host })
    }
}
