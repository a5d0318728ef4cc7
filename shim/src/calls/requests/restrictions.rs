// SPDX-License-Identifier: GPL-2.0-only
//! What the host may do for a ring of the application by itself: everything but requests with paths (io_uring_register(2),
//! IORING_REGISTER_RESTRICTIONS), which would lead past the mounts. Such requests are served before the host sees them; one
//! that is not seen, because another thread wrote it too late, ends with EACCES.
#![allow(unsafe_code)]

use super::op;
use crate::sys::call::{self, args};
use crate::sys::errno::{Errno, Result};

// include/uapi/linux/io_uring.h
/// A ring that takes no requests until it is enabled.
pub const SETUP_R_DISABLED: u32 = 1 << 6;
const REGISTER_PROBE: u32 = 8;
const REGISTER_RESTRICTIONS: u32 = 11;
const REGISTER_ENABLE_RINGS: u32 = 12;
const RESTRICTION_REGISTER_OP: u16 = 0;
const RESTRICTION_SQE_OP: u16 = 1;
const RESTRICTION_SQE_FLAGS_ALLOWED: u16 = 2;
/// Operations that a probe can tell of.
const OPERATIONS: usize = 256;

/// Operations with a path. (A connect to a path goes to the host's sockets.)
const WITH_PATHS: [u8; 11] = [
    op::OPENAT,
    op::STATX,
    op::OPENAT2,
    op::RENAMEAT,
    op::UNLINKAT,
    op::MKDIRAT,
    op::SYMLINKAT,
    op::LINKAT,
    op::SETXATTR,
    op::GETXATTR,
    op::BIND,
];

/// `struct io_uring_restriction`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Restriction {
    kind: u16,
    /// An operation, or flags.
    what: u8,
    _rest: [u8; 13],
}

const _: () = assert!(size_of::<Restriction>() == 16);

/// A ring that was just made, disabled.
pub struct Made(pub usize);

impl Made {
    fn register(&self, what: u32, address: usize, count: usize) -> Result {
        call::host(libc::SYS_io_uring_register, &args([self.0, what as usize, address, count]))
    }

    /// The last operation that the host knows: `struct io_uring_probe` begins with it, and needs room for all.
    fn last_operation(&self) -> Result<u8> {
        let mut probe = [0u64; 2 + OPERATIONS];
        self.register(REGISTER_PROBE, probe.as_mut_ptr() as usize, OPERATIONS)?;
        Ok(probe[0] as u8)
    }

    /// Allows everything but requests with paths.
    pub fn restrict(&self) -> Result<()> {
        /// Above all that there are, below what the host finds too many.
        const REGISTER_OPERATIONS: u8 = 64;
        let last = self.last_operation()?;
        let mut list = [Restriction::default(); 1 + OPERATIONS + REGISTER_OPERATIONS as usize];
        let mut count = 0;
        let mut add = |kind, what| {
            list[count] = Restriction { kind, what, ..Restriction::default() };
            count += 1;
        };
        add(RESTRICTION_SQE_FLAGS_ALLOWED, u8::MAX);
        (0..=last).filter(|op| !WITH_PATHS.contains(op)).for_each(|op| add(RESTRICTION_SQE_OP, op));
        (0..REGISTER_OPERATIONS).for_each(|op| add(RESTRICTION_REGISTER_OP, op));
        // The host refuses an operation that it does not know: those at the end are left out one by one.
        let address = list.as_ptr() as usize;
        let least = count - usize::from(REGISTER_OPERATIONS);
        let taken = (least..=count).rev().find_map(|n| self.register(REGISTER_RESTRICTIONS, address, n).ok());
        taken.map(drop).ok_or(Errno::ENOSYS)
    }

    /// Unless the application enables the ring itself.
    pub fn enable(&self, asked: u32) -> Result<()> {
        match asked & SETUP_R_DISABLED {
            0 => self.register(REGISTER_ENABLE_RINGS, 0, 0).map(drop),
            _ => Ok(()),
        }
    }
}
