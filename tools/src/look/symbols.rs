// SPDX-License-Identifier: GPL-2.0-only
//! The library, and its table of the kernel's functions and objects (its form: `lkl/kbuild/src/symbols.rs`).

use std::fs;
use std::path::Path;

use goblin::elf::Elf;

use crate::fail::reason;

const SECTION: &str = ".stowaway.symbols";
const MAGIC: &[u8] = b"LKLSYM2\0";
const BUILD_ID: std::ops::Range<usize> = 8..28;
const COUNT: usize = 28;
const OBJECTS: usize = 36;
const HEAD: usize = 40;
const ENTRY: usize = 8;

/// Functions and objects: address and name.
#[derive(Debug, Default)]
pub struct Table {
    pub functions: Vec<(u64, String)>,
    /// Where the functions end.
    pub end: u64,
    pub objects: Vec<(u64, String)>,
    /// Of the kernel.
    pub build_id: Vec<u8>,
}

impl Table {
    fn parse(bytes: &[u8]) -> Option<Table> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let (count, objects) = (word(COUNT)? as usize, word(OBJECTS)? as usize);
        let names = bytes.get(HEAD + ENTRY * (count + objects)..)?;
        let entry = |i: usize| {
            let at = HEAD + ENTRY * i;
            let name = names.get(word(at + 4)? as usize..)?.split(|b| *b == 0).next()?;
            Some((u64::from(word(at)?), String::from_utf8_lossy(name).into_owned()))
        };
        Some(Table {
            functions: (0..count).map(entry).collect::<Option<_>>()?,
            end: u64::from(word(COUNT + 4)?),
            objects: (count..count + objects).map(entry).collect::<Option<_>>()?,
            build_id: bytes[BUILD_ID].to_vec(),
        })
    }

    /// The address of an object, in the kernel's image.
    pub fn object(&self, name: &str) -> Option<u64> {
        self.objects.iter().find(|(_, other)| other == name).map(|(address, _)| *address)
    }
}

/// The library's file.
pub struct Library {
    bytes: Vec<u8>,
    /// Its table.
    pub table: Table,
    /// What it is called.
    pub shown: String,
}

/// The image lies on whole pages of the library's file.
const PAGE: usize = 4096;

impl Library {
    /// Reads it. `Err` says what is wrong.
    pub fn read(path: &Path) -> Result<Library, String> {
        let shown = path.display().to_string();
        if let Some(gone) = shown.strip_suffix(" (deleted)") {
            return Err(format!("{gone}: was replaced or removed while the kernel runs out of it"));
        }
        let bytes = fs::read(path).map_err(|error| format!("{shown}: {}", reason(&error)))?;
        let elf = Elf::parse(&bytes).map_err(|error| format!("{shown}: {error}"))?;
        let section = elf.section_headers.iter().find(|s| elf.shdr_strtab.get_at(s.sh_name) == Some(SECTION));
        let table = section.and_then(|s| bytes.get(s.file_range()?)).and_then(Table::parse);
        let table = table.ok_or(format!("{shown}: has no table of the kernel's functions"))?;
        Ok(Library { bytes, table, shown })
    }

    /// The kernel's image as it is embedded, not relocated: what begins as an ELF file, and has the table's build id in its
    /// first pages.
    pub fn image(&self) -> Option<&[u8]> {
        const HEADERS: usize = 4 * PAGE;
        let id = &self.table.build_id;
        let begins = |at: &usize| {
            let here = &self.bytes[*at..];
            here.starts_with(b"\x7fELF")
                && here[..HEADERS.min(here.len())].windows(id.len()).any(|bytes| bytes == id)
        };
        (PAGE..self.bytes.len()).step_by(PAGE).find(begins).map(|at| &self.bytes[at..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let mut bytes = [MAGIC, &[7; 20]].concat();
        for n in [2u32, 0x3000, 1, 0x2000, 0, 0x2040, 6, 0x5000, 13] {
            bytes.extend_from_slice(&n.to_le_bytes());
        }
        bytes.extend_from_slice(b"first\0second\0thing\0");
        let table = Table::parse(&bytes).unwrap();
        assert_eq!(table.functions, [(0x2000, "first".into()), (0x2040, "second".into())]);
        assert_eq!((table.end, table.object("thing"), table.object("first")), (0x3000, Some(0x5000), None));
        assert!(Table::parse(&bytes[..48]).is_none() && Table::parse(b"LKLSYM2").is_none());
    }
}
