// SPDX-License-Identifier: GPL-2.0-only
//! What of an ELF file decides whether a library can be preloaded into it. Reads headers only: programs are big.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::header::{header64, EI_CLASS, EI_DATA, ELFCLASS64, ELFDATA2LSB, EM_X86_64, ET_DYN, ET_EXEC};
use goblin::elf::program_header::{ProgramHeader, PT_DYNAMIC, PT_INTERP};

/// More program headers than any linker makes.
const HEADERS_MAX: usize = 256;
/// Longer than any loader's path.
const INTERP_MAX: u64 = 4096;

/// An ELF file, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub enum Elf {
    /// A 64-bit x86 file.
    X86_64 {
        /// The dynamic loader that it asks for.
        interp: Option<String>,
        /// Whether it has a dynamic section.
        dynamic: bool,
        /// ET_EXEC, ET_DYN...
        kind: u16,
    },
    /// Another machine's, or a 32-bit one: what it is.
    Foreign(String),
    /// Begins as an ELF file does, and is not one.
    Broken(String),
}

impl Elf {
    /// Reads the headers of `file`, which begins with `head` (64 bytes, less in a shorter file).
    pub fn read(file: &File, head: &[u8]) -> io::Result<Elf> {
        if head.len() < header64::SIZEOF_EHDR {
            return Ok(Elf::Broken("its header is cut off".into()));
        }
        if head[EI_CLASS] != ELFCLASS64 {
            return Ok(Elf::Foreign("a 32-bit program".into()));
        }
        if head[EI_DATA] != ELFDATA2LSB {
            return Ok(Elf::Foreign("a program for a big-endian machine".into()));
        }
        let mut bytes = [0; header64::SIZEOF_EHDR];
        bytes.copy_from_slice(&head[..header64::SIZEOF_EHDR]);
        let header = header64::Header::from_bytes(&bytes);
        if header.e_machine != EM_X86_64 {
            let machine = goblin::elf::header::machine_to_str(header.e_machine);
            return Ok(Elf::Foreign(format!("a program for another machine ({machine})")));
        }
        if !matches!(header.e_type, ET_EXEC | ET_DYN) {
            return Ok(Elf::Broken("neither a program nor a shared object".into()));
        }
        Elf::segments(file, header)
    }

    fn segments(file: &File, header: &header64::Header) -> io::Result<Elf> {
        let ctx = Ctx::new(Container::Big, Endian::Little);
        let count = usize::from(header.e_phnum);
        let mut table = vec![0; count.min(HEADERS_MAX) * ProgramHeader::size(ctx)];
        if count > HEADERS_MAX || file.read_exact_at(&mut table, header.e_phoff).is_err() {
            return Ok(Elf::Broken("its program headers are cut off".into()));
        }
        let segments = match ProgramHeader::parse(&table, 0, count, ctx) {
            Ok(segments) => segments,
            Err(error) => return Ok(Elf::Broken(error.to_string())),
        };
        let interp = match segments.iter().find(|segment| segment.p_type == PT_INTERP) {
            None => None,
            Some(segment) => {
                let mut path = vec![0; segment.p_filesz.min(INTERP_MAX) as usize];
                if file.read_exact_at(&mut path, segment.p_offset).is_err() {
                    return Ok(Elf::Broken("the name of its loader is cut off".into()));
                }
                let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                Some(String::from_utf8_lossy(&path[..end]).into_owned())
            }
        };
        let dynamic = segments.iter().any(|segment| segment.p_type == PT_DYNAMIC);
        Ok(Elf::X86_64 { interp, dynamic, kind: header.e_type })
    }
}
