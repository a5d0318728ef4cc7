// SPDX-License-Identifier: GPL-2.0-only
//! Memory that is asked of the host and given back: exec may be called where nothing else can be relied on.
#![allow(unsafe_code)]

use crate::sys::host;

/// Zeroed pages of our own.
pub struct Block {
    address: usize,
    len: usize,
}

impl Block {
    /// At least `len` bytes; `None`: the host has none.
    pub fn new(len: usize) -> Option<Block> {
        let len = len.max(1).next_multiple_of(4096);
        let address = host::map(len);
        (address >= 0).then_some(Block { address: address as usize, len })
    }

    /// Where they are.
    pub fn address(&self) -> usize {
        self.address
    }

    /// All of them, to be read.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: mapped in `new`, ours until the drop; any bytes are valid.
        unsafe { core::slice::from_raw_parts(self.address as *const u8, self.len) }
    }

    /// All of them.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped in `new`, exclusively ours until the drop; any bytes are valid.
        unsafe { core::slice::from_raw_parts_mut(self.address as *mut u8, self.len) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        host::unmap(self.address, self.len);
    }
}
