// SPDX-License-Identifier: GPL-2.0-only
//! What the tables of a module say of one function, and what stood in code before it was rewritten.

use core::ops::Range;

/// The code around one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// First byte of the function.
    pub start: u64,
    /// Where what is known of it ends.
    pub known_end: u64,
    /// Where it ends at the latest: the next function. Hand-written code ends its unwind table early (glibc's clone
    /// does so right before its `syscall`), and is taken in when control demonstrably runs on into it.
    pub limit: u64,
}

impl Extent {
    /// Whether `address` is in the part that is known.
    pub fn holds(&self, address: u64) -> bool {
        (self.start..self.known_end).contains(&address)
    }
}

/// One function with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its addresses; empty where its size is not known.
    pub range: Range<u64>,
    /// Its name, empty if none is known.
    pub name: &'a str,
}

/// What stood at a place in code that we have rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// The place.
    pub start: u64,
    /// What stood there.
    pub bytes: Vec<u8>,
}

impl Original {
    /// The place, with its end.
    pub fn range(&self) -> Range<u64> {
        self.start..self.start + self.bytes.len() as u64
    }
}
