// SPDX-License-Identifier: GPL-2.0-only
//! An ELF file that says to a debugger what the table of the kernel's functions says.

use goblin::elf::{section_header, sym};

use crate::look::symbols::Table;

impl Table {
    /// A file without code: symbols, and one rule for all frames (the kernel keeps frame pointers).
    pub fn to_elf(&self) -> Vec<u8> {
        let start = self.functions.first().map_or(0, |f| f.0);
        let (symbols, strings) = self.symbols();
        let frames = frames(start, self.end - start);
        let names = b"\0.text\0.debug_frame\0.symtab\0.strtab\0.shstrtab\0";
        let name =
            |name: &str| names.windows(name.len()).position(|w| w == name.as_bytes()).unwrap_or(0) as u32;
        let mut out = vec![0; EHDR];
        let mut sections = vec![[0u64; 10]];
        let code = u64::from(section_header::SHF_ALLOC | section_header::SHF_EXECINSTR);
        let nobits = section_header::SHT_NOBITS;
        // name, type, flags, address, offset, size, link, info, align, entry size
        sections.push([name(".text").into(), nobits.into(), code, start, 0, self.end - start, 0, 0, 16, 0]);
        let mut add = |at: &str, kind: u32, bytes: &[u8], link: u64, info: u64, entry: u64| {
            let offset = out.len() as u64;
            out.extend_from_slice(bytes);
            out.resize(out.len().next_multiple_of(8), 0);
            sections.push([
                name(at).into(),
                kind.into(),
                0,
                0,
                offset,
                bytes.len() as u64,
                link,
                info,
                8,
                entry,
            ]);
        };
        add(".debug_frame", section_header::SHT_PROGBITS, &frames, 0, 0, 0);
        add(".symtab", section_header::SHT_SYMTAB, &symbols, 4, 1, 24);
        add(".strtab", section_header::SHT_STRTAB, &strings, 0, 0, 0);
        add(".shstrtab", section_header::SHT_STRTAB, names, 0, 0, 0);
        let headers = out.len() as u64;
        for s in &sections {
            out.extend_from_slice(&section(s));
        }
        out[..EHDR].copy_from_slice(&head(headers, sections.len() as u16));
        out
    }

    fn symbols(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut symbols, mut strings) = (vec![0; 24], vec![0]);
        for (i, (address, name)) in self.functions.iter().enumerate() {
            let end = self.functions.get(i + 1).map_or(self.end, |next| next.0);
            symbols.extend_from_slice(&(strings.len() as u32).to_le_bytes());
            symbols.extend_from_slice(&[sym::STB_GLOBAL << 4 | sym::STT_FUNC, 0, 1, 0]);
            symbols.extend_from_slice(&address.to_le_bytes());
            symbols.extend_from_slice(&(end - address).to_le_bytes());
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        (symbols, strings)
    }
}

const EHDR: usize = 64;

fn head(sections_at: u64, sections: u16) -> [u8; EHDR] {
    let mut head = [0; EHDR];
    head[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    head[16..18].copy_from_slice(&goblin::elf::header::ET_DYN.to_le_bytes());
    head[18..20].copy_from_slice(&goblin::elf::header::EM_X86_64.to_le_bytes());
    head[20] = 1;
    head[40..48].copy_from_slice(&sections_at.to_le_bytes());
    for (at, value) in [(52, EHDR as u16), (58, 64), (60, sections), (62, sections - 1)] {
        head[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    head
}

/// `Elf64_Shdr`: name, type and link, info are half words.
fn section(fields: &[u64; 10]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for (i, field) in fields.iter().enumerate() {
        match i {
            0 | 1 | 6 | 7 => out.extend_from_slice(&(*field as u32).to_le_bytes()),
            _ => out.extend_from_slice(&field.to_le_bytes()),
        }
    }
    out
}

/// `.debug_frame` for a text in which every function begins with push %rbp; mov %rsp, %rbp.
fn frames(start: u64, len: u64) -> Vec<u8> {
    const RBP: u8 = 6;
    const RETURN: u8 = 16;
    const DEF_CFA: u8 = 0x0c;
    const OFFSET: u8 = 0x80;
    // version 1, no augmentation, code in units of 1, data of -8; CFA = rbp + 16, the two words below it
    let rules =
        [&[1, 0, 1, 0x78, RETURN][..], &[DEF_CFA, RBP, 16, OFFSET | RETURN, 1, OFFSET | RBP, 2][..], &[0; 4]];
    let rules = rules.concat();
    let mut out = Vec::new();
    out.extend_from_slice(&(4 + rules.len() as u32).to_le_bytes());
    out.extend_from_slice(&u32::MAX.to_le_bytes());
    out.extend_from_slice(&rules);
    out.extend_from_slice(&20u32.to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use goblin::elf::Elf;

    #[test]
    fn a_debugger_can_read_it() {
        let functions = vec![(0x2000, "first".into()), (0x2040, "second".into())];
        let table = Table { functions, end: 0x3000, ..Table::default() };
        let bytes = table.to_elf();
        let elf = Elf::parse(&bytes).unwrap();
        let names: Vec<_> = elf.syms.iter().filter_map(|s| elf.strtab.get_at(s.st_name)).collect();
        assert_eq!(names, ["", "first", "second"]);
        let second = elf.syms.get(2).unwrap();
        assert_eq!((second.st_value, second.st_size, second.is_function()), (0x2040, 0xfc0, true));
        let name = |s: &section_header::SectionHeader| elf.shdr_strtab.get_at(s.sh_name).unwrap().to_owned();
        let sections: Vec<_> = elf.section_headers.iter().map(name).collect();
        assert_eq!(sections, ["", ".text", ".debug_frame", ".symtab", ".strtab", ".shstrtab"]);
        assert_eq!((elf.section_headers[1].sh_addr, elf.section_headers[1].sh_size), (0x2000, 0x1000));
    }
}
