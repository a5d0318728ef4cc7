// SPDX-License-Identifier: GPL-2.0-only
//! What a target is.

/// Reads input that others wrote.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Real input to begin with, as much as this machine has. At least one.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What means something to the reader: put into inputs as a whole.
    pub words: &'static [&'static [u8]],
    /// Longest input in bytes.
    pub most: usize,
    /// Reads one input. It panics if what was read breaks a promise.
    pub read: fn(&[u8]),
}
