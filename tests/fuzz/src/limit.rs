// SPDX-License-Identifier: GPL-2.0-only
//! A limit on single allocations: a length that was read from input must not become one.
//!
//! # Safety
//! Every call is handed on to the system's allocator, or refused.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

/// Largest allocation; more than any target needs.
const BYTES_MOST: usize = 256 << 20;

/// The system's allocator, which refuses more than 256 MiB at once. The program then aborts.
pub struct Limited;

// SAFETY: as the system's allocator; a null pointer says that there is no memory.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > BYTES_MOST {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: allocated by the system's allocator with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}
