// SPDX-License-Identifier: GPL-2.0-only
//! What requests are made of, whatever an image is made like.

use std::io;

/// An open image as a disk. Dropping it writes what is not yet written, and unlocks it.
pub trait Disk: Send + Sync {
    fn read(&self, to: &mut [u8], at: u64) -> io::Result<()>;
    fn write(&self, from: &[u8], at: u64) -> io::Result<()>;
    /// All that was written is on the host's disk.
    fn flush(&self) -> io::Result<()>;
    /// Gives a range back; false: there is no such thing in this format.
    fn trim(&self, at: u64, len: u64) -> io::Result<bool>;
    /// Makes a range zero, and gives it back if it may have holes; false: there is no such thing in this format.
    fn zero(&self, at: u64, len: u64, holes: bool) -> io::Result<bool>;
}

/// Why an image cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// It, or what it refers to, is in use by somebody: who.
    Busy(String),
    /// What is wrong with it.
    Bad(String),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (OpenError::Busy(why) | OpenError::Bad(why)) = self;
        f.write_str(why)
    }
}
