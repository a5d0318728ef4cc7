// SPDX-License-Identifier: GPL-2.0-only
//! Whose the descriptors of one wait are.

use crate::fdtable;
use crate::fdtable::sets::{set_at, Set};
use crate::sys::errno::Result;

/// Whose the descriptors of one wait are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// The host's, all of them.
    Host,
    /// The kernel library's.
    Kernel,
    /// Some are the one's and some the other's, or one is an epoll set with files of both.
    Both,
}

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
            fdtable::KERNEL => {
                self.kernel = true;
                self.host |= set_at(number) == Set::Both;
            }
            fdtable::LOST => self.lost = true,
            _ => self.host = true,
        }
    }

    /// Whose all of them are; no descriptors are the host's. EIO: one is lost.
    pub fn all(&self) -> Result<Whose> {
        match (self.lost, self.host, self.kernel) {
            (true, ..) => Err(fdtable::refuse(fdtable::LOST)),
            (_, _, false) => Ok(Whose::Host),
            (_, false, true) => Ok(Whose::Kernel),
            (_, true, true) => Ok(Whose::Both),
        }
    }
}
