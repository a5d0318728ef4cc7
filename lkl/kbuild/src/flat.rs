// SPDX-License-Identifier: GPL-2.0-only
//! The library as a memory image: file offset = address, bss included, whole pages.  The `lkl`
//! crate embeds it page-aligned, and its loader makes a running kernel of it.
//!
//! What the kernel would do to read-only data at boot is done here: its exception table is sorted.

use crate::Error;
use goblin::elf::{program_header::PT_LOAD, Elf};
use std::fs;
use std::path::Path;

const PAGE: usize = 4096;

/// `library` is `vmlinux` without symbols.
pub(crate) fn write(vmlinux: &Path, library: &Path, image: &Path) -> Result<(), Error> {
    let read = |path| fs::read(path).map_err(|e| Error::io("read", path, e));
    let (named, bytes) = (read(vmlinux)?, read(library)?);
    let bad = |why| Error::Io(format!("bad kernel library: {why}"));
    let mut flat = flatten(&bytes).map_err(bad)?;
    sort_exceptions(&named, &mut flat).map_err(bad)?;
    fs::write(image, flat).map_err(|e| Error::io("write", image, e))
}

fn flatten(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let elf = Elf::parse(bytes).map_err(|e| e.to_string())?;
    let loads = || elf.program_headers.iter().filter(|p| p.p_type == PT_LOAD);
    let end = loads().map(|p| (p.p_vaddr + p.p_memsz) as usize).max().ok_or("nothing to load")?;
    let mut out = vec![0; end.next_multiple_of(PAGE)];
    for p in loads() {
        if p.p_vaddr as usize % PAGE != 0 {
            return Err(format!("segment at {:#x} does not start a page", p.p_vaddr));
        }
        let from = bytes.get(p.file_range()).ok_or("truncated")?;
        out[p.p_vaddr as usize..][..from.len()].copy_from_slice(from);
    }
    Ok(out)
}

/// The table's entries are pairs of 32-bit offsets, each from its own place (asm-generic/extable.h).
fn sort_exceptions(vmlinux: &[u8], flat: &mut [u8]) -> Result<(), String> {
    let elf = Elf::parse(vmlinux).map_err(|e| e.to_string())?;
    let address = |name: &str| {
        let found = elf.syms.iter().find(|s| elf.strtab.get_at(s.st_name) == Some(name));
        found.map(|s| s.st_value as usize).ok_or(format!("no symbol {name}"))
    };
    let range = address("__start___ex_table")?..address("__stop___ex_table")?;
    let table = flat.get_mut(range.clone()).ok_or("exception table outside")?;
    let word = |bytes: &[u8]| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as isize;
    let mut entries: Vec<[isize; 2]> = table
        .chunks_exact(8)
        .enumerate()
        .map(|(i, e)| [word(e) + 8 * i as isize, word(&e[4..]) + 8 * i as isize + 4])
        .collect();
    entries.sort_unstable();
    for (i, (to, [insn, fixup])) in table.chunks_exact_mut(8).zip(entries).enumerate() {
        let here = 8 * i as isize;
        to[..4].copy_from_slice(&((insn - here) as i32).to_le_bytes());
        to[4..].copy_from_slice(&((fixup - here - 4) as i32).to_le_bytes());
    }
    let needed = address("main_extable_sort_needed")?;
    flat.get_mut(needed..needed + 4).ok_or("flag outside")?.fill(0);
    Ok(())
}
