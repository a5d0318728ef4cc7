// SPDX-License-Identifier: GPL-2.0-only
//! Mappings of memory that are ours.
#![allow(unsafe_code)]

use lkl::sys::memory;

use crate::sys::errno::Result;

pub use lkl::sys::PAGE;

/// Anonymous private memory of `len` bytes, zeroed, between guard pages; its address. Nobody gives the memory back.
pub fn map(len: usize) -> Result {
    memory::map_anonymous(len)
}

/// Gives back what [`map`] made for the same `len`.
///
/// # Safety
/// The memory is the caller's, and nothing refers to it any more.
pub unsafe fn unmap(address: usize, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { memory::unmap_anonymous(address, len) };
}

/// Zeroed private memory in whole pages, given back when dropped. Where nothing may be allocated, this is a buffer.
#[derive(Debug)]
pub struct Pages {
    address: usize,
    len: usize,
}

impl Pages {
    /// At least `bytes` bytes.
    pub fn new(bytes: usize) -> Result<Pages> {
        let len = bytes.max(1).next_multiple_of(PAGE);
        map(len).map(|address| Pages { address, len })
    }

    /// Where the memory begins.
    pub fn address(&self) -> usize {
        self.address
    }

    /// The memory.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: a mapping of our own, reached through this value alone.
        unsafe { core::slice::from_raw_parts_mut(self.address as *mut u8, self.len) }
    }

    /// The memory, to be read.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: as in `bytes`.
        unsafe { core::slice::from_raw_parts(self.address as *const u8, self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: made in `new`; the value, and with it every reference into the memory, ends here.
        unsafe { unmap(self.address, self.len) };
    }
}
