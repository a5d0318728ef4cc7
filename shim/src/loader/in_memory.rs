// SPDX-License-Identifier: GPL-2.0-only
//! Shared objects as the kernel has mapped them: the vDSO, and this library.
#![allow(unsafe_code)]

use goblin::elf64::header::Header;
use goblin::elf64::program_header::ProgramHeader;

/// The first segment of this kind.
///
/// # Safety
/// A shared object, with its header, lies at `base` and stays.
pub unsafe fn segment(base: usize, kind: u32) -> Option<&'static ProgramHeader> {
    // SAFETY: the header says where the table of segments is, and how long.
    let segments = unsafe {
        let header = &*(base as *const Header);
        let table = (base + header.e_phoff as usize) as *const ProgramHeader;
        core::slice::from_raw_parts(table, usize::from(header.e_phnum))
    };
    segments.iter().find(|segment| segment.p_type == kind)
}
