// SPDX-License-Identifier: GPL-2.0-only
//! The library as a memory image: file offset = address, bss included, whole pages.  The `lkl`
//! crate embeds it page-aligned and turns it into the running kernel in place.

use crate::Error;
use goblin::elf::{program_header::PT_LOAD, Elf};
use std::fs;
use std::path::Path;

const PAGE: usize = 4096;

pub(crate) fn write(library: &Path, image: &Path) -> Result<(), Error> {
    let bytes = fs::read(library).map_err(|e| Error::io("read", library, e))?;
    let flat = flatten(&bytes).map_err(|why| Error::Io(format!("bad kernel library: {why}")))?;
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
