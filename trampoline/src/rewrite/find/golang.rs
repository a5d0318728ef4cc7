// SPDX-License-Identifier: GPL-2.0-only
//! Go programs carry no unwind tables of the usual kind and are often stripped; but the runtime needs its own function
//! table, `.gopclntab` (Go source: src/internal/abi/symtab.go, src/runtime/symtab.go, `pcHeader`).

use goblin::elf::Elf;

use super::extent::Named;

/// `pcHeader.magic` of Go 1.18 and of 1.20 and later, which have the same layout.
const MAGICS: [u32; 2] = [0xffff_fff0, 0xffff_fff1];

/// Go's functions, ascending; nameless.
pub fn functions<'a>(elf: &Elf, file: &[u8], bias: u64) -> Option<Vec<Named<'a>>> {
    let section = |name: &str| {
        elf.section_headers.iter().find(|header| elf.shdr_strtab.get_at(header.sh_name) == Some(name))
    };
    let table =
        file.get(section(".gopclntab").or_else(|| section(".data.rel.ro.gopclntab"))?.file_range()?)?;
    let word = |at: usize| Some(u64::from_le_bytes(table.get(at..at + 8)?.try_into().ok()?));
    let half = |at: usize| Some(u32::from_le_bytes(table.get(at..at + 4)?.try_into().ok()?));
    if !MAGICS.contains(&half(0)?) || *table.get(7)? != 8 {
        return None;
    }
    // textStart is left 0 by the linkers that no longer relocate it.
    let text = match word(24)? {
        0 => section(".text")?.sh_addr,
        start => start,
    };
    let (count, at) = (word(8)? as usize, word(64)? as usize);
    // Pairs of (function, its record), the function relative to the text; one more entry closes the last.
    let start = |index: usize| {
        let offset = half(at.checked_add(index.checked_mul(8)?)?)?;
        Some(text.wrapping_add(u64::from(offset)).wrapping_add(bias))
    };
    (0..count).map(|index| Some(Named { range: start(index)?..start(index + 1)?, name: "" })).collect()
}
