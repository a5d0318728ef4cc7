// SPDX-License-Identifier: GPL-2.0-only
//! What gdb is told about stubs, by its interface for code that programs make at run time (gdb manual, "JIT Compilation
//! Interface"): a list of object files in memory, and a function that it has a breakpoint in.
//!
//! Nothing but data as long as nobody debugs; who attaches later reads the list.
//!
//! # Safety
//! The descriptor is written under the engine's lock alone. Entries live for ever.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::ops::Range;
use core::ptr::null_mut;

use goblin::elf::header::{EM_X86_64, ET_EXEC};
use goblin::elf::section_header as sh;

use crate::rewrite::write::cfi;

global_asm!(include_str!("../../asm/jit_debug.S"),);

extern "C" {
    fn __jit_debug_register_code();
    static mut __jit_debug_descriptor: Descriptor;
}

#[repr(C)]
struct Descriptor {
    version: u32,
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

#[repr(C)]
struct Entry {
    next: *mut Entry,
    previous: *mut Entry,
    file: *const u8,
    file_len: u64,
}

/// JIT_REGISTER_FN.
const REGISTER: u32 = 1;

/// Tells about the stubs in `region`, for good. Returns their `.eh_frame`. Called by one thread at a time.
pub fn describe(region: &Range<u64>) -> &'static [u8] {
    let (file, table) = object(region);
    let file: &'static [u8] = file.leak();
    let entry = Box::leak(Box::new(Entry {
        next: null_mut(),
        previous: null_mut(),
        file: file.as_ptr(),
        file_len: file.len() as u64,
    }));
    // SAFETY: the descriptor is ours, and only this function, under the engine's lock, changes it.
    unsafe {
        let descriptor = &raw mut __jit_debug_descriptor;
        entry.next = (*descriptor).first;
        if let Some(next) = entry.next.as_mut() {
            next.previous = entry;
        }
        (*descriptor).first = entry;
        (*descriptor).relevant = entry;
        (*descriptor).action = REGISTER;
        __jit_debug_register_code();
    }
    &file[table]
}

const HEADER: usize = 64;
const SECTION: usize = 64;
const NAMES: &[u8] = b"\0.text\0.eh_frame\0.symtab\0.strtab\0stowaway_stubs\0";

/// Offset of a name in the one table of names.
fn name(wanted: &str) -> u32 {
    let found =
        NAMES.windows(wanted.len() + 1).position(|at| at.strip_suffix(b"\0") == Some(wanted.as_bytes()));
    found.unwrap_or(0) as u32
}

/// An ELF file with the region as its text, which is not in it, the unwinding table and one symbol; and where in the
/// file the table is.
fn object(region: &Range<u64>) -> (Vec<u8>, Range<usize>) {
    let table = cfi::eh_frame(region);
    let len = region.end - region.start;
    let symbols_at = HEADER + table.len();
    let names_at = symbols_at + 2 * 24;
    let sections_at = (names_at + NAMES.len()).next_multiple_of(8);
    let mut file = header(sections_at as u64);
    file.extend(&table);
    file.extend([0; 24]);
    file.extend(name("stowaway_stubs").to_le_bytes());
    file.extend([2, 0, 1, 0]); // local function, default visibility, in section 1
    file.extend(region.start.to_le_bytes());
    file.extend(len.to_le_bytes());
    file.extend(NAMES);
    file.resize(sections_at, 0);
    let alloc = u64::from(sh::SHF_ALLOC);
    let code = alloc | u64::from(sh::SHF_EXECINSTR);
    let words =
        |text: &str, kind: u32, flags: u64, address: u64, at: usize, len: u64, link: u64, size: u64| {
            let kinds = u64::from(name(text)) | u64::from(kind) << 32;
            [kinds, flags, address, at as u64, len, link, 8, size]
        };
    let sections = [
        [0; 8],
        words(".text", sh::SHT_NOBITS, code, region.start, HEADER, len, 0, 0),
        words(".eh_frame", sh::SHT_PROGBITS, alloc, region.end, HEADER, table.len() as u64, 0, 0),
        // Names are in section 4; the first symbol that is not local would be the third.
        words(".symtab", sh::SHT_SYMTAB, 0, 0, symbols_at, 48, 4 | 2 << 32, 24),
        words(".strtab", sh::SHT_STRTAB, 0, 0, names_at, NAMES.len() as u64, 0, 0),
    ];
    file.extend(sections.as_flattened().iter().flat_map(|word| word.to_le_bytes()));
    (file, HEADER..symbols_at)
}

/// The ELF header: little-endian, 64 bits, five sections at `sections_at`, names in the last.
fn header(sections_at: u64) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend(ET_EXEC.to_le_bytes());
    header.extend(EM_X86_64.to_le_bytes());
    header.extend(1u32.to_le_bytes());
    header.extend([0; 16]); // entry, program headers
    header.extend(sections_at.to_le_bytes());
    header.extend([0; 4]); // flags
    for half in [HEADER as u16, 0, 0, SECTION as u16, 5, 4] {
        header.extend(half.to_le_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_says_where_the_stubs_are() {
        let (file, table) = object(&(0x7000_0000..0x7001_0000));
        let elf = goblin::elf::Elf::parse(&file).expect("an ELF file");
        let symbol = elf.syms.iter().nth(1).expect("a symbol");
        assert_eq!(elf.strtab.get_at(symbol.st_name), Some("stowaway_stubs"));
        assert_eq!((symbol.st_value, symbol.st_size), (0x7000_0000, 0x1_0000));
        let section = |name| {
            let named = |header: &&sh::SectionHeader| elf.shdr_strtab.get_at(header.sh_name) == Some(name);
            elf.section_headers.iter().find(named).expect("the section")
        };
        assert_eq!(section(".text").sh_addr, 0x7000_0000);
        assert_eq!(section(".eh_frame").file_range(), Some(table));
    }
}
