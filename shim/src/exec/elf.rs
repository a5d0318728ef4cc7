// SPDX-License-Identifier: GPL-2.0-only
//! What of an ELF file the kernel looks at before it maps it (fs/binfmt_elf.c, load_elf_binary). No allocation: exec
//! asks here, too.
#![allow(unsafe_code)]

use goblin::elf64::header::{Header, EM_X86_64, ET_DYN, ET_EXEC, SIZEOF_EHDR};
use goblin::elf64::program_header::{ProgramHeader, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR};

use crate::exec::pages::Block;
use crate::sys::errno::{EACCES, ENOEXEC, ENOMEM};
use crate::sys::host::{self, Ret};
use crate::sys::scratch::PATH_MAX;

/// All program headers together are no more (load_elf_phdrs).
const TABLE_MAX: usize = 1 << 16;
const PAGE: usize = 4096;

/// The headers of a file that can be loaded.
pub struct Elf {
    header: Header,
    table: Block,
}

/// Whether a file that begins so claims to be one.
pub fn is_elf(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
}

/// Whether it is made for this machine. As the kernel sees it, who does not look at the class (elf_check_arch).
pub fn is_for_us(head: &[u8]) -> bool {
    const MACHINE: usize = 18;
    head.len() >= SIZEOF_EHDR && u16::from_le_bytes([head[MACHINE], head[MACHINE + 1]]) == EM_X86_64
}

/// Reads all of `into` at `offset`, or says how many bytes there are.
pub fn read_at(fd: i32, into: &mut [u8], offset: usize) -> Ret {
    let mut done = 0;
    while done < into.len() {
        let rest = &mut into[done..];
        let args = [fd as usize, rest.as_mut_ptr() as usize, rest.len(), offset + done];
        match host::call(libc::SYS_pread64, &args) {
            0 => break,
            n if n < 0 => return n,
            n => done += n as usize,
        }
    }
    done as Ret
}

impl Elf {
    /// Reads the headers of `fd`; ENOEXEC where the kernel would not take it.
    pub fn read(fd: i32) -> Result<Elf, Ret> {
        let mut head = [0u8; SIZEOF_EHDR];
        if read_at(fd, &mut head, 0) != SIZEOF_EHDR as Ret || !is_elf(&head) || !is_for_us(&head) {
            return Err(ENOEXEC);
        }
        // SAFETY: the header is plain data of that very size, any bytes are valid.
        let header: Header = unsafe { core::ptr::read_unaligned(head.as_ptr().cast()) };
        let size = usize::from(header.e_phnum) * size_of::<ProgramHeader>();
        let kind_ok = matches!(header.e_type, ET_EXEC | ET_DYN);
        let table_ok =
            usize::from(header.e_phentsize) == size_of::<ProgramHeader>() && (1..=TABLE_MAX).contains(&size);
        if !kind_ok || !table_ok {
            return Err(ENOEXEC);
        }
        let mut table = Block::new(size).ok_or(ENOMEM)?;
        if read_at(fd, &mut table.bytes()[..size], header.e_phoff as usize) != size as Ret {
            return Err(ENOEXEC);
        }
        let elf = Elf { header, table };
        if elf.loads().next().is_none() {
            return Err(ENOEXEC);
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

    /// Reads the path of its dynamic loader, NUL-ended; `None`: it has none.
    pub fn interpreter(&self, fd: i32, into: &mut [u8; PATH_MAX]) -> Result<Option<usize>, Ret> {
        let Some(header) = self.headers().iter().find(|h| h.p_type == PT_INTERP) else { return Ok(None) };
        let size = header.p_filesz as usize;
        if !(2..=PATH_MAX).contains(&size) {
            return Err(ENOEXEC);
        }
        if read_at(fd, &mut into[..size], header.p_offset as usize) != size as Ret {
            return Err(crate::sys::errno::EIO);
        }
        if into[size - 1] != 0 {
            return Err(ENOEXEC);
        }
        Ok(into.iter().position(|&b| b == 0))
    }
}

/// Whether `fd` is a file that may be executed at all, as do_open_execat asks.
pub fn may_execute(fd: i32) -> Result<libc::stat, Ret> {
    // SAFETY: plain data, filled by fstat.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    let r = host::call(libc::SYS_fstat, &[fd as usize, &raw mut status as usize]);
    if r < 0 {
        return Err(r);
    }
    if status.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(EACCES);
    }
    let flags = (libc::AT_EMPTY_PATH | libc::AT_EACCESS) as usize;
    let args = [fd as usize, c"".as_ptr() as usize, libc::X_OK as usize, flags];
    match host::call(libc::SYS_faccessat2, &args) {
        0 => Ok(status),
        e => Err(e),
    }
}
