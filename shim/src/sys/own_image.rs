// SPDX-License-Identifier: GPL-2.0-only
//! Where this library is in memory.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::ops::Range;

use crate::sys::mem::PAGE;

// The linker's.
global_asm!(".hidden __ehdr_start", ".hidden _end");

extern "C" {
    static __ehdr_start: u8;
    static _end: u8;
}

/// The library's code, constants and variables, in whole pages.
pub fn range() -> Range<usize> {
    &raw const __ehdr_start as usize..(&raw const _end as usize).next_multiple_of(PAGE)
}
