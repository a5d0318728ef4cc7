// SPDX-License-Identifier: GPL-2.0-only
//! io_uring of the application: the host carries out what stands in the ring, and nobody sees a request before. A path in one
//! would lead past the mounts. So with mounts each ring gets restrictions (io_uring_register(2),
//! IORING_REGISTER_RESTRICTIONS): requests with paths end with EACCES.
#![allow(unsafe_code)]

use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs;
use crate::sys::report::say_once;
use crate::sys::settings::settings;
use crate::sys::user;

// include/uapi/linux/io_uring.h
const SETUP_R_DISABLED: u32 = 1 << 6;
const SETUP_REGISTERED_FD_ONLY: u32 = 1 << 15;
const REGISTER_PROBE: u32 = 8;
const REGISTER_RESTRICTIONS: u32 = 11;
const REGISTER_ENABLE_RINGS: u32 = 12;
const REGISTER_USE_REGISTERED_RING: u32 = 1 << 31;
const RESTRICTION_REGISTER_OP: u16 = 0;
const RESTRICTION_SQE_OP: u16 = 1;
const RESTRICTION_SQE_FLAGS_ALLOWED: u16 = 2;
/// Where the flags stand in `struct io_uring_params`.
const FLAGS: usize = 8;
/// Operations that a probe can tell of.
const OPERATIONS: usize = 256;

/// openat, statx, openat2, renameat, unlinkat, mkdirat, symlinkat, linkat, setxattr, getxattr, bind. (A connect to a path goes
/// to the host's sockets.)
const WITH_PATHS: [u8; 11] = [18, 21, 28, 35, 36, 37, 38, 39, 42, 44, 56];

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

/// io_uring_setup(2)
pub fn setup(c: &Call<'_>) -> Result {
    let at = c.args[1].wrapping_add(FLAGS);
    let Some(asked) = user::read::<u32>(at).ok().filter(|_| !settings().mounts.is_empty()) else {
        return c.to_host();
    };
    user::write(at, &(asked | SETUP_R_DISABLED))?;
    let made = c.to_host();
    user::write(at, &asked)?;
    let ring = made?;
    let flag = if asked & SETUP_REGISTERED_FD_ONLY != 0 { REGISTER_USE_REGISTERED_RING } else { 0 };
    let ring = Ring { number: ring, flag };
    match ring.restrict().and_then(|()| ring.enable(asked)) {
        Ok(()) => Ok(ring.number),
        Err(_) => {
            say_once!("io_uring_setup: the host cannot keep requests with paths from the mounts (ENOSYS)");
            if flag == 0 {
                fs::close(ring.number as i32);
            }
            Err(Errno::ENOSYS)
        }
    }
}

/// A ring: its descriptor, or its number among the registered ones.
struct Ring {
    number: usize,
    flag: u32,
}

impl Ring {
    fn register(&self, what: u32, address: usize, count: usize) -> Result {
        call::host(
            libc::SYS_io_uring_register,
            &args([self.number, (what | self.flag) as usize, address, count]),
        )
    }

    /// The last operation that the host knows: `struct io_uring_probe` begins with it, and needs room for all.
    fn last_operation(&self) -> Result<u8> {
        let mut probe = [0u64; 2 + OPERATIONS];
        self.register(REGISTER_PROBE, probe.as_mut_ptr() as usize, OPERATIONS)?;
        Ok(probe[0] as u8)
    }

    /// Allows everything but requests with paths.
    fn restrict(&self) -> Result<()> {
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

    /// Unless the application enables it itself.
    fn enable(&self, asked: u32) -> Result<()> {
        match asked & SETUP_R_DISABLED {
            0 => self.register(REGISTER_ENABLE_RINGS, 0, 0).map(drop),
            _ => Ok(()),
        }
    }
}
