// SPDX-License-Identifier: GPL-2.0-only
//! Puts a program's segments where they belong, as fs/binfmt_elf.c does (elf_load).
//!
//! The whole range is taken first and given back: that finds out whether it is free, and where a movable one
//! goes. Nothing else maps memory meanwhile, for the process has one thread and it is here.
#![allow(unsafe_code)]

use lkl::sys::memory;

use goblin::elf64::program_header::{ProgramHeader, PF_R, PF_W, PF_X};

use crate::exec::elf::Elf;
use crate::sys::errno::{Errno, Result};
use crate::sys::host;
use crate::sys::mem::PAGE;

/// A program in memory.
pub struct Mapped {
    /// What was added to the file's addresses.
    pub base: usize,
    /// Its first instruction.
    pub entry: usize,
    /// Its program headers.
    pub table: usize,
    /// How many.
    pub count: usize,
    /// First and last address of what can be executed.
    pub code: (usize, usize),
    /// First and last address of its data, as far as they come from the file.
    pub data: (usize, usize),
}

/// No address yet.
const NOTHING: (usize, usize) = (usize::MAX, 0);

/// Maps all segments of the file `fd`. EEXIST: it cannot be moved, and its place is taken.
pub fn map(fd: i32, elf: &Elf) -> Result<Mapped> {
    let (start, end) = elf.span().ok_or(Errno::ENOEXEC)?;
    let base = match elf.can_move() {
        true => find_room(end - start, elf.alignment())?.wrapping_sub(start),
        false => {
            reserve(start, end - start, libc::MAP_FIXED_NOREPLACE)?;
            // SAFETY: just reserved, and empty.
            unsafe { memory::unmap(start, end - start) };
            0
        }
    };
    let mut mapped = Mapped {
        base,
        entry: base.wrapping_add(elf.entry()),
        table: match elf.table_address() {
            0 => 0,
            address => base.wrapping_add(address),
        },
        count: elf.count(),
        code: NOTHING,
        data: NOTHING,
    };
    for segment in elf.loads() {
        map_segment(fd, segment, base)?;
        let from = base.wrapping_add(segment.p_vaddr as usize);
        let range = if segment.p_flags & PF_X != 0 { &mut mapped.code } else { &mut mapped.data };
        *range = (range.0.min(from), range.1.max(from + segment.p_filesz as usize));
    }
    Ok(mapped)
}

/// Takes addresses: free ones, or with MAP_FIXED_NOREPLACE these.
fn reserve(address: usize, len: usize, fixed: i32) -> Result {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | fixed;
    let none = libc::PROT_NONE as usize;
    // SAFETY: a mapping that replaces nothing.
    unsafe { host::call(libc::SYS_mmap, &[address, len, none, flags as usize, usize::MAX, 0]) }
}

/// A free range of `len` bytes whose start is a multiple of `alignment`.
fn find_room(len: usize, alignment: usize) -> Result {
    let room = len.checked_add(alignment - PAGE).ok_or(Errno::ENOMEM)?;
    let at = reserve(0, room, 0)?;
    // SAFETY: just reserved, and empty.
    unsafe { memory::unmap(at, room) };
    Ok(at.next_multiple_of(alignment))
}

fn map_segment(fd: i32, segment: &ProgramHeader, base: usize) -> Result<()> {
    let address = base.wrapping_add(segment.p_vaddr as usize);
    let in_page = address % PAGE;
    let (in_file, in_memory) = (segment.p_filesz as usize, segment.p_memsz as usize);
    if in_file > in_memory || segment.p_offset as usize % PAGE != in_page {
        return Err(Errno::ENOEXEC);
    }
    let protection = protection(segment.p_flags);
    let mut mapped_to = address - in_page;
    if in_file != 0 {
        let len = (in_page + in_file).next_multiple_of(PAGE);
        let offset = segment.p_offset as usize - in_page;
        put(mapped_to, len, protection, libc::MAP_PRIVATE, fd as usize, offset)?;
        mapped_to += len;
    }
    if in_memory > in_file {
        let rest = address + in_file;
        if in_file != 0 && segment.p_flags & PF_W != 0 {
            // SAFETY: from the end of the file's bytes to the end of the page just mapped, which can be written.
            unsafe { core::ptr::write_bytes(rest as *mut u8, 0, mapped_to - rest) };
        }
        let end = (address + in_memory).next_multiple_of(PAGE);
        if end > mapped_to {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            put(mapped_to, end - mapped_to, protection, flags, usize::MAX, 0)?;
        }
    }
    Ok(())
}

fn put(at: usize, len: usize, protection: usize, flags: i32, fd: usize, offset: usize) -> Result<()> {
    let flags = (flags | libc::MAP_FIXED) as usize;
    // SAFETY: within the range that was found free.
    unsafe { host::call(libc::SYS_mmap, &[at, len, protection, flags, fd, offset]) }.map(drop)
}

fn protection(flags: u32) -> usize {
    let pairs = [(PF_R, libc::PROT_READ), (PF_W, libc::PROT_WRITE), (PF_X, libc::PROT_EXEC)];
    pairs.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, p)| *p as usize).sum()
}
