// SPDX-License-Identifier: GPL-2.0-only
//! The names of the kernel's functions, and of the objects that tools look at, as a table for the `lkl` crate and for tools.
//!
//! ```text
//! "LKLSYM2\0"  build id (20 bytes)  u32 count  u32 end of text  u32 objects
//! count x { u32 address  u32 name }     sorted by address; a function reaches to the next
//! objects x { u32 address  u32 name }
//! names, each with a zero byte behind it; `name` counts from the first
//! ```
//! All numbers little endian; addresses as in the library (it begins at 0).

use crate::Error;
use goblin::elf::{program_header::PT_LOAD, sym, Elf};
use std::fs;
use std::path::Path;

const MAGIC: &[u8; 8] = b"LKLSYM2\0";
const BUILD_ID: usize = 20;
/// What `stowaway log` and `stowaway top` begin at (`kernel/look.c`).
const OBJECTS: [&str; 10] = [
    "lkl_look_rows",
    "lkb_look_rows",
    "prb",
    "lkl_shared",
    "lkl_calls",
    "lkl_member_calls",
    "lkb_disks",
    "_totalram_pages",
    "vm_zone_stat",
    "vm_node_stat",
];

pub(crate) fn write(vmlinux: &Path, table: &Path) -> Result<(), Error> {
    let bytes = fs::read(vmlinux).map_err(|e| Error::io("read", vmlinux, e))?;
    let made = make(&bytes).map_err(|why| Error::Io(format!("bad kernel library: {why}")))?;
    fs::write(table, made).map_err(|e| Error::io("write", table, e))
}

fn make(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let elf = Elf::parse(bytes).map_err(|e| e.to_string())?;
    let text =
        elf.program_headers.iter().find(|p| p.p_type == PT_LOAD && p.is_executable()).ok_or("no text")?;
    let range = text.p_vaddr..text.p_vaddr + text.p_memsz;
    let mut found: Vec<(u64, bool, &str)> = elf
        .syms
        .iter()
        .filter(|s| s.st_type() == sym::STT_FUNC && range.contains(&s.st_value))
        .filter_map(|s| Some((s.st_value, s.st_bind() == sym::STB_WEAK, elf.strtab.get_at(s.st_name)?)))
        .collect();
    found.sort_unstable();
    found.dedup_by_key(|f| f.0);
    let objects: Vec<(u64, &str)> =
        OBJECTS.into_iter().map(|name| Ok((object(&elf, name)?, name))).collect::<Result<_, String>>()?;
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&build_id(&elf, bytes)?);
    for n in [found.len() as u64, range.end, objects.len() as u64] {
        out.extend_from_slice(&(n as u32).to_le_bytes());
    }
    let mut names = Vec::new();
    for (address, name) in found.into_iter().map(|(address, _, name)| (address, name)).chain(objects) {
        out.extend_from_slice(&(address as u32).to_le_bytes());
        out.extend_from_slice(&(names.len() as u32).to_le_bytes());
        names.extend_from_slice(name.as_bytes());
        names.push(0);
    }
    out.append(&mut names);
    Ok(out)
}

/// The address of an object, of which there has to be one.
fn object(elf: &Elf<'_>, name: &str) -> Result<u64, String> {
    let is_it = |s: &sym::Sym| s.st_type() == sym::STT_OBJECT && elf.strtab.get_at(s.st_name) == Some(name);
    let mut found = elf.syms.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.st_value),
        (None, _) => Err(format!("no object {name}")),
        (Some(_), Some(_)) => Err(format!("several objects {name}")),
    }
}

fn build_id(elf: &Elf<'_>, bytes: &[u8]) -> Result<[u8; BUILD_ID], String> {
    let notes = elf.iter_note_sections(bytes, None).ok_or("no notes")?;
    let id = notes.flatten().find(|n| n.name == "GNU" && n.n_type == goblin::elf::note::NT_GNU_BUILD_ID);
    id.and_then(|n| n.desc.try_into().ok()).ok_or("no build id".into())
}
