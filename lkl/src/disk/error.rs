// SPDX-License-Identifier: GPL-2.0-only
//! Why an image cannot be used.

use crate::dev::block::nbd::NbdError;
use crate::sys::Errno;
use std::fmt;

/// Why an image cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskError {
    /// Another kernel has the image, and one of the two kernels writes it.
    Busy {
        /// The process that holds the lock, if it can be found.
        pid: Option<u32>,
    },
    /// The host itself uses the image, and the host or this kernel writes it: how.
    InUse(&'static str),
    /// Neither a regular file nor a block device.
    NotADisk,
    /// The image has no partition of this number, or no partition table.
    NoPartition,
    /// The disk would begin behind the image's end, or amid a sector of a device.
    NoOffset {
        /// The image's size.
        bytes: u64,
    },
    /// What is wrong with the server's address.
    Address(&'static str),
    /// What is wrong with the server.
    Server(&'static str),
    /// The host's error.
    Io(Errno),
}

impl DiskError {
    /// The errno that the application's call reports.
    pub fn errno(&self) -> Errno {
        match self {
            DiskError::Busy { .. } | DiskError::InUse(_) => Errno::EBUSY,
            DiskError::NotADisk => Errno::ENOTBLK,
            DiskError::NoPartition => Errno::ENXIO,
            DiskError::Address(_) | DiskError::NoOffset { .. } => Errno::EINVAL,
            DiskError::Server(_) => Errno::EIO,
            DiskError::Io(e) => *e,
        }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskError::Busy { pid: Some(pid) } => write!(f, "in use by pid {pid}"),
            DiskError::Busy { pid: None } => write!(f, "in use by another process"),
            DiskError::InUse(how) => write!(f, "{how}"),
            DiskError::NotADisk => write!(f, "neither a regular file nor a block device"),
            DiskError::NoPartition => write!(f, "has no such partition"),
            DiskError::NoOffset { bytes } => {
                write!(f, "nothing can begin at this offset; the image has {bytes} bytes")
            }
            DiskError::Address(why) => write!(f, "{why}"),
            DiskError::Server(why) => write!(f, "the server {why}"),
            DiskError::Io(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for DiskError {}

impl From<Errno> for DiskError {
    fn from(e: Errno) -> DiskError {
        DiskError::Io(e)
    }
}

impl From<NbdError> for DiskError {
    fn from(e: NbdError) -> DiskError {
        match e {
            NbdError::Busy { pid } => DiskError::Busy { pid },
            NbdError::Server(why) => DiskError::Server(why),
            NbdError::Io(e) => DiskError::Io(e),
        }
    }
}
