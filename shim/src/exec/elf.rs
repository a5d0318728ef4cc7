// SPDX-License-Identifier: GPL-2.0-only
//! What of an ELF file the kernel looks at before it maps it (fs/binfmt_elf.c, load_elf_binary). No allocation: exec
//! asks here, too.
#![allow(unsafe_code)]

use goblin::elf64::dynamic::{DF_1_PIE, DT_FLAGS_1, DT_SONAME, DT_STRTAB};
use goblin::elf64::header::{Header, EM_X86_64, ET_DYN, ET_EXEC, SIZEOF_EHDR};
use goblin::elf64::program_header::{
    ProgramHeader, PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR,
};

use crate::sys::errno::{Errno, Result};
use crate::sys::fs;
use crate::sys::mem::{Pages, PAGE};
use crate::sys::scratch::PATH_MAX;

/// All program headers together are no more (load_elf_phdrs).
const TABLE_MAX: usize = 1 << 16;

/// Who starts a program after the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    /// The dynamic loader of glibc, which takes LD_PRELOAD. So does a loader that we do not know.
    Glibc,
    /// The dynamic loader of musl.
    Musl,
    /// Nobody: the program is linked statically.
    None,
}

/// The headers of a file that can be loaded.
pub struct Elf {
    header: Header,
    table: Pages,
}

/// Whether a file that begins so claims to be one.
pub fn is_elf(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
}

/// Whether the file is made for this machine. As the kernel, this does not look at the class (elf_check_arch).
pub fn is_for_us(head: &[u8]) -> bool {
    const MACHINE: usize = 18;
    head.len() >= SIZEOF_EHDR && u16::from_le_bytes([head[MACHINE], head[MACHINE + 1]]) == EM_X86_64
}

/// Whether the host may run a file of another machine: by its 32-bit half, or by an emulator (binfmt_misc).
pub fn may_be_run(head: &[u8]) -> bool {
    const MACHINE: usize = 18;
    const EM_386: u16 = 3;
    if head.len() < SIZEOF_EHDR_32 {
        return false;
    }
    let machine = u16::from_le_bytes([head[MACHINE], head[MACHINE + 1]]);
    let emulates =
        || fs::access_at(fs::AT_FDCWD, fs::address(c"/proc/sys/fs/binfmt_misc/status"), libc::F_OK);
    machine == EM_386 || head.len() >= SIZEOF_EHDR && emulates().is_ok()
}

/// The length of the header of a 32-bit file.
const SIZEOF_EHDR_32: usize = 52;

impl Elf {
    /// Reads the headers of `fd`; ENOEXEC where the kernel would not take it.
    pub fn read(fd: i32) -> Result<Elf> {
        let mut head = [0u8; SIZEOF_EHDR];
        if fs::read_at(fd, &mut head, 0) != Ok(SIZEOF_EHDR) || !is_elf(&head) || !is_for_us(&head) {
            return Err(Errno::ENOEXEC);
        }
        // SAFETY: the header is plain data of that very size, any bytes are valid.
        let header: Header = unsafe { core::ptr::read_unaligned(head.as_ptr().cast()) };
        let size = usize::from(header.e_phnum) * size_of::<ProgramHeader>();
        let kind_ok = matches!(header.e_type, ET_EXEC | ET_DYN);
        let table_ok =
            usize::from(header.e_phentsize) == size_of::<ProgramHeader>() && (1..=TABLE_MAX).contains(&size);
        if !kind_ok || !table_ok {
            return Err(Errno::ENOEXEC);
        }
        let mut table = Pages::new(size)?;
        if fs::read_at(fd, &mut table.bytes()[..size], header.e_phoff as usize) != Ok(size) {
            return Err(Errno::ENOEXEC);
        }
        let elf = Elf { header, table };
        if elf.loads().next().is_none() {
            return Err(Errno::ENOEXEC);
        }
        Ok(elf)
    }

    /// All program headers.
    pub fn headers(&self) -> &[ProgramHeader] {
        // SAFETY: `read` filled a page-aligned block with so many of them; plain data.
        unsafe { core::slice::from_raw_parts(self.table.address() as *const ProgramHeader, self.count()) }
    }

    /// What is mapped.
    pub fn loads(&self) -> impl Iterator<Item = &ProgramHeader> + Clone {
        self.headers().iter().filter(|h| h.p_type == PT_LOAD)
    }

    /// How many program headers it has.
    pub fn count(&self) -> usize {
        usize::from(self.header.e_phnum)
    }

    /// Its first instruction, not moved yet.
    pub fn entry(&self) -> usize {
        self.header.e_entry as usize
    }

    /// Whether it may be mapped anywhere.
    pub fn can_move(&self) -> bool {
        self.header.e_type == ET_DYN
    }

    /// Where its program headers are in memory, not moved yet; 0: nowhere.
    pub fn table_address(&self) -> usize {
        if let Some(own) = self.headers().iter().find(|h| h.p_type == PT_PHDR) {
            return own.p_vaddr as usize;
        }
        let offset = self.header.e_phoff;
        let holder = self.loads().find(|h| h.p_offset <= offset && offset - h.p_offset < h.p_filesz);
        holder.map_or(0, |h| (offset - h.p_offset + h.p_vaddr) as usize)
    }

    /// The addresses of all that is mapped, to whole pages, not moved yet.
    pub fn span(&self) -> Option<(usize, usize)> {
        let start = self.loads().map(|h| h.p_vaddr as usize & !(PAGE - 1)).min()?;
        let end =
            self.loads().map(|h| h.p_vaddr.checked_add(h.p_memsz)).try_fold(0, |a, b| Some(a.max(b?)))?;
        let end = (end as usize).checked_next_multiple_of(PAGE)?;
        (start < end).then_some((start, end))
    }

    /// What its base has to be a multiple of.
    pub fn alignment(&self) -> usize {
        let asked = self.loads().map(|h| h.p_align as usize).filter(|a| a.is_power_of_two());
        asked.max().unwrap_or(PAGE).max(PAGE)
    }

    /// Whether it asks for a stack that code may run on. Without the header x86-64 gives none (arch/x86
    /// asm/elf.h).
    pub fn wants_executable_stack(&self) -> bool {
        let asked = self.headers().iter().find(|h| h.p_type == PT_GNU_STACK);
        asked.is_some_and(|h| h.p_flags & PF_X != 0)
    }

    /// Which dynamic loader starts the program.
    pub fn starter(&self, fd: i32) -> Result<Starter> {
        let mut path = [0; PATH_MAX];
        match self.interpreter(fd, &mut path)? {
            Some(len) => {
                let name = path[..len].rsplit(|&byte| byte == b'/').next().unwrap_or_default();
                Ok(if name.starts_with(b"ld-musl") { Starter::Musl } else { Starter::Glibc })
            }
            None => Ok(self.starter_by_hand(fd)),
        }
    }

    /// A static program, or a dynamic loader that is run by hand: that one takes LD_PRELOAD for its program.
    fn starter_by_hand(&self, fd: i32) -> Starter {
        match self.library_name(fd) {
            Some(name) if name.starts_with(b"ld-linux") => Starter::Glibc,
            Some(name) if name.starts_with(b"libc.musl") || name.starts_with(b"ld-musl") => Starter::Musl,
            _ => Starter::None,
        }
    }

    /// DT_SONAME of what is a library and no program.
    fn library_name(&self, fd: i32) -> Option<[u8; 32]> {
        const ENTRIES: usize = 64;
        const ENTRY_BYTES: usize = 16;
        let dynamic = self.headers().iter().find(|h| h.p_type == PT_DYNAMIC)?;
        let mut table = [0u8; ENTRIES * ENTRY_BYTES];
        let size = (dynamic.p_filesz as usize).min(table.len());
        if fs::read_at(fd, &mut table[..size], dynamic.p_offset as usize) != Ok(size) {
            return None;
        }
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let value = |tag: u64| {
            let mut entries = table[..size].chunks_exact(ENTRY_BYTES);
            entries.find(|entry| word(&entry[..8]) == tag).map(|entry| word(&entry[8..]))
        };
        if value(DT_FLAGS_1).unwrap_or(0) & DF_1_PIE != 0 {
            return None;
        }
        let at = value(DT_SONAME)?.wrapping_add(value(DT_STRTAB)?);
        let holder = self.loads().find(|h| at >= h.p_vaddr && at - h.p_vaddr < h.p_filesz)?;
        let mut text = [0u8; 32];
        fs::read_at(fd, &mut text, (at - holder.p_vaddr + holder.p_offset) as usize).ok()?;
        Some(text)
    }

    /// Reads the path of its dynamic loader, NUL-ended; `None`: it has none.
    pub fn interpreter(&self, fd: i32, into: &mut [u8; PATH_MAX]) -> Result<Option<usize>> {
        let Some(header) = self.headers().iter().find(|h| h.p_type == PT_INTERP) else { return Ok(None) };
        let size = header.p_filesz as usize;
        if !(2..=PATH_MAX).contains(&size) {
            return Err(Errno::ENOEXEC);
        }
        if fs::read_at(fd, &mut into[..size], header.p_offset as usize) != Ok(size) {
            return Err(Errno::EIO);
        }
        if into[size - 1] != 0 {
            return Err(Errno::ENOEXEC);
        }
        Ok(into.iter().position(|&b| b == 0))
    }
}

/// Whether `fd` is a file that may be executed at all, as do_open_execat asks.
pub fn may_execute(fd: i32) -> Result<libc::stat> {
    let status = fs::stat(fd)?;
    if status.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(Errno::EACCES);
    }
    fs::access_with(fd, fs::address(c""), libc::X_OK, libc::AT_EMPTY_PATH | libc::AT_EACCESS)?;
    Ok(status)
}
