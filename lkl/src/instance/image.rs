// SPDX-License-Identifier: GPL-2.0-only
//! The embedded library, and how a copy of it is made to run.
//!
//! `kbuild` hands us a memory image: file offset = address, bss included, page-aligned.  It sits in our own
//! read-only data and stays as it is.  Its headers, text and constants need no relocation: an instance maps them
//! from our own file; the rest it copies ([`super::region`]) and relocates ([`link`]), what few need when it is needed
//! ([`load`]).  There is no TLS and no
//! undefined symbol.
//!
//! # Safety
//! kbuild wrote the image and checked its form; offsets in its tables are not checked again.
#![allow(unsafe_code)]

use crate::sys::Errno;
use goblin::elf64::{dynamic, header, program_header, sym};
use std::ops::Range;

#[repr(C, align(4096))]
struct PageAligned<T: ?Sized>(T);

static IMAGE: &PageAligned<[u8]> = &PageAligned(*include_bytes!(env!("LKL_IMAGE")));

/// Entry points of `asm/host.h`, as addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entries {
    pub(crate) boot: usize,
    pub(crate) run: usize,
    pub(crate) words: usize,
    pub(crate) askers: usize,
    pub(crate) fault_fixup: usize,
    pub(crate) dump_log: usize,
    pub(crate) oops: usize,
    pub(crate) oops_stack: usize,
    pub(crate) abi: usize,
    #[cfg(test)]
    pub(crate) layout: usize,
}

/// An image in its place: entries, code, constants.
pub(crate) struct Loaded {
    pub(crate) entries: Entries,
    pub(crate) text: Range<usize>,
    /// The relocated constants, which are to be protected.
    pub(crate) relro: Range<usize>,
}

/// The image's parts, by offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Headers: what tells one build from another is in them (the build id).
    pub(crate) head: Range<usize>,
    pub(crate) text: Range<usize>,
    /// Data that [`load`] brings when it is needed.  All before it is constant.
    pub(crate) cold: Range<usize>,
    /// Written at run time; its end is the image's.
    pub(crate) data: Range<usize>,
    /// Where the data with contents in the file ends.
    pub(crate) filled: usize,
    dynamic: usize,
}

/// The image as bytes.
pub(crate) fn bytes() -> &'static [u8] {
    &IMAGE.0
}

/// Reads the image's program headers.
pub(crate) fn layout() -> Layout {
    let base = bytes().as_ptr() as usize;
    // SAFETY: kbuild wrote the image with its ELF header and program headers in the first page.
    let segments = unsafe {
        let head = &*(base as *const header::Header);
        std::slice::from_raw_parts(
            (base + head.e_phoff as usize) as *const program_header::ProgramHeader,
            head.e_phnum as usize,
        )
    };
    let mut layout = Layout::default();
    for s in segments {
        let range = s.p_vaddr as usize..(s.p_vaddr + s.p_memsz) as usize;
        match (s.p_type, s.p_flags & (program_header::PF_W | program_header::PF_X)) {
            (program_header::PT_LOAD, program_header::PF_W) if layout.cold.is_empty() => layout.cold = range,
            (program_header::PT_LOAD, program_header::PF_W) => {
                layout.filled = (s.p_vaddr + s.p_filesz) as usize;
                layout.data = range;
            }
            (program_header::PT_LOAD, program_header::PF_X) => layout.text = range,
            (program_header::PT_LOAD, _) if range.start == 0 => layout.head = range,
            (program_header::PT_DYNAMIC, _) => layout.dynamic = range.start,
            _ => {}
        }
    }
    layout
}

/// Copies a part of the image to its place in the instance at `base`.
///
/// # Safety
/// The part is mapped there, writable, and nothing refers to it.
pub(crate) unsafe fn copy(base: usize, part: Range<usize>) {
    let from = &bytes()[part.clone()];
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), (base + part.start) as *mut u8, from.len()) };
}

/// Brings a part of the cold data of the instance at `base`.
///
/// # Safety
/// `part` are addresses of cold data that was not brought before; the instance is linked.
pub(crate) unsafe fn load(base: usize, part: Range<usize>) {
    // SAFETY: nobody has used it; the tables are the image's.
    unsafe {
        copy(base, part.start - base..part.end - base);
        let (relr, entries) = find_relr(base, &layout());
        apply_relr(base, relr, entries, part);
    }
}

/// The table of relocations of the copy at `base`.
///
/// # Safety
/// The image lies at `base`.
unsafe fn find_relr(base: usize, layout: &Layout) -> (*const usize, usize) {
    const DT_RELR: u64 = 36;
    const DT_RELRSZ: u64 = 35;
    let (mut table, mut bytes) = (std::ptr::null(), 0);
    let mut d = (base + layout.dynamic) as *const dynamic::Dyn;
    // SAFETY: the section ends with DT_NULL.
    unsafe {
        while (*d).d_tag != dynamic::DT_NULL {
            match (*d).d_tag {
                DT_RELR => table = (base + (*d).d_val as usize) as *const usize,
                DT_RELRSZ => bytes = (*d).d_val as usize,
                _ => {}
            }
            d = d.add(1);
        }
    }
    (table, bytes / size_of::<usize>())
}

/// Finds the exported functions of the image at `base`, and relocates the copy there, but for its cold data, if `is_new`.
///
/// # Safety
/// The image lies at `base`. If it is new, its data is writable and as kbuild wrote it.
pub(crate) unsafe fn link(base: usize, layout: &Layout, is_new: bool) -> Result<Loaded, Errno> {
    let (mut symtab, mut strtab) = (0, 0);
    let mut d = (base + layout.dynamic) as *const dynamic::Dyn;
    // SAFETY: the section ends with DT_NULL; what it names lies in the image.
    let found = unsafe {
        while (*d).d_tag != dynamic::DT_NULL {
            let v = (*d).d_val as usize;
            match (*d).d_tag {
                dynamic::DT_SYMTAB => symtab = base + v,
                dynamic::DT_STRTAB => strtab = base + v,
                // the linker is told to pack them all
                dynamic::DT_RELA | dynamic::DT_JMPREL if v != 0 => return Err(Errno::ENOEXEC),
                _ => {}
            }
            d = d.add(1);
        }
        if is_new {
            let (relr, entries) = find_relr(base, layout);
            apply_relr(base, relr, entries, base + layout.data.start..base + layout.data.end);
        }
        // the overlay's linker script puts .dynstr right behind .dynsym
        let syms = std::slice::from_raw_parts(symtab as *const sym::Sym, (strtab - symtab) / sym::SIZEOF_SYM);
        find_entries(base, syms, strtab)
    };
    let (entries, relro_end) = found.ok_or(Errno::ENOEXEC)?;
    let text = base + layout.text.start..base + layout.text.end;
    Ok(Loaded { entries, text, relro: base + layout.data.start..relro_end })
}

/// # Safety
/// `syms` and `strtab` are the image's.
unsafe fn find_entries(base: usize, syms: &[sym::Sym], strtab: usize) -> Option<(Entries, usize)> {
    // SAFETY: the caller's promise.
    let find = |name: &[u8]| unsafe { find(syms, strtab, name) }.map(|v| base + v);
    let entries = Entries {
        boot: find(b"lkl_boot\0")?,
        run: find(b"lkl_run\0")?,
        words: find(b"lkl_words\0")?,
        askers: find(b"lkl_askers\0")?,
        fault_fixup: find(b"lkl_fault_fixup\0")?,
        dump_log: find(b"lkl_dump_log\0")?,
        oops: find(b"lkl_oops\0")?,
        oops_stack: find(b"lkl_oops_stack\0")?,
        abi: find(b"lkl_abi\0")?,
        #[cfg(test)]
        layout: find(b"lkl_layout\0")?,
    };
    Some((entries, find(b"lkl_relro_end\0")?))
}

/// # Safety
/// `syms` and `strtab` are the image's.
unsafe fn find(syms: &[sym::Sym], strtab: usize, name: &[u8]) -> Option<usize> {
    let same = |s: &&sym::Sym| {
        let at = (strtab + s.st_name as usize) as *const u8;
        // SAFETY: both end with a zero byte, and the comparison stops at the first difference.
        name.iter().enumerate().all(|(i, b)| unsafe { *at.add(i) } == *b)
    };
    syms.iter().find(same).map(|s| s.st_value as usize)
}

/// Packed relative relocations (SHT_RELR): an even entry is the address of one word; an odd one a
/// bitmap of the 63 words behind the last. Addresses rise. Those within `part` are made.
///
/// # Safety
/// The table is the image's, and all of `part` is writable.
unsafe fn apply_relr(base: usize, table: *const usize, n: usize, part: Range<usize>) {
    let relocate = |place: *mut usize| {
        if part.contains(&(place as usize)) {
            // SAFETY: one of the image's own words, and in the part.
            unsafe { *place = (*place).wrapping_add(base) };
        }
    };
    let mut at = std::ptr::null_mut::<usize>();
    for i in 0..n {
        // SAFETY: within the table.
        let e = unsafe { *table.add(i) };
        if e & 1 == 0 {
            at = (base + e) as *mut usize;
            if at as usize >= part.end {
                return;
            }
            relocate(at);
            at = at.wrapping_add(1);
            continue;
        }
        let is_before = at.wrapping_add(63) as usize <= part.start;
        let mut bits = if is_before { 0 } else { e >> 1 };
        while bits != 0 {
            relocate(at.wrapping_add(bits.trailing_zeros() as usize));
            bits &= bits - 1;
        }
        at = at.wrapping_add(63);
    }
}
