// SPDX-License-Identifier: GPL-2.0-only
//! Puts a program's segments where they belong, as fs/binfmt_elf.c does (elf_load).
//!
//! The whole range is taken first: that finds out whether it is free, and where a movable one goes. It stays taken until the
//! segments lie in it: threads of this library's own, such as the one that waits for frames, map memory meanwhile.
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
        true => memory::reserve_anywhere(end - start, elf.alignment())?.wrapping_sub(start),
        false => {
            memory::reserve_at(start, end - start)?;
            0
        }
    };
    // What of the range is nothing's, so far.
    let (mut free, end) = (base.wrapping_add(start), base.wrapping_add(end));
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
        let (first, last) = map_segment(fd, segment, base)?;
        give_back(free, first);
        free = free.max(last);
        let from = base.wrapping_add(segment.p_vaddr as usize);
        let range = if segment.p_flags & PF_X != 0 { &mut mapped.code } else { &mut mapped.data };
        *range = (range.0.min(from), range.1.max(from + segment.p_filesz as usize));
    }
    give_back(free, end);
    Ok(mapped)
}

/// Frees what nothing lies in of the range that was taken.
fn give_back(from: usize, to: usize) {
    if from < to {
        // SAFETY: reserved by map(), and no segment's.
        unsafe { memory::unmap(from, to - from) };
    }
}

/// First and last address of the pages that a segment is in, which are its.
fn map_segment(fd: i32, segment: &ProgramHeader, base: usize) -> Result<(usize, usize)> {
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
            mapped_to = end;
        }
    }
    Ok((address - in_page, mapped_to))
}

fn put(at: usize, len: usize, protection: usize, flags: i32, fd: usize, offset: usize) -> Result<()> {
    let flags = (flags | libc::MAP_FIXED) as usize;
    // SAFETY: within the range that map() has taken.
    unsafe { host::call(libc::SYS_mmap, &[at, len, protection, flags, fd, offset]) }.map(drop)
}

fn protection(flags: u32) -> usize {
    let pairs = [(PF_R, libc::PROT_READ), (PF_W, libc::PROT_WRITE), (PF_X, libc::PROT_EXEC)];
    pairs.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, p)| *p as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::os::fd::AsRawFd;

    /// Whether all pages of a range are mapped (mincore(2)).
    fn is_mapped(from: usize, to: usize) -> bool {
        let mut pages = vec![0u8; (to - from) / PAGE];
        // SAFETY: an answer of a byte a page.
        unsafe { host::call(libc::SYS_mincore, &[from, to - from, pages.as_mut_ptr() as usize]) }.is_ok()
    }

    #[test]
    fn segments_stay_while_another_thread_maps() {
        static ENOUGH: AtomicBool = AtomicBool::new(false);
        let other = std::thread::spawn(|| {
            while !ENOUGH.load(Ordering::Relaxed) {
                if let Ok(at) = memory::reserve_anywhere(4 * PAGE, PAGE) {
                    // SAFETY: just reserved.
                    unsafe { memory::unmap(at, 4 * PAGE) };
                }
            }
        });
        let file = std::fs::File::open("/lib64/ld-linux-x86-64.so.2").expect("the dynamic loader");
        let elf = Elf::read(file.as_raw_fd()).expect("a program");
        let (start, end) = elf.span().expect("its span");
        let mut lost = 0;
        for _ in 0..2000 {
            let mapped = map(file.as_raw_fd(), &elf).expect("room");
            std::thread::yield_now();
            for segment in elf.loads() {
                let from = mapped.base + segment.p_vaddr as usize;
                let to = (from + segment.p_memsz as usize).next_multiple_of(PAGE);
                lost += usize::from(!is_mapped(from - from % PAGE, to));
            }
            // SAFETY: what was just mapped. (Another thread's page in a gap is a matter of this test alone: it may lose one.)
            unsafe { memory::unmap(mapped.base + start, end - start) };
        }
        ENOUGH.store(true, Ordering::Relaxed);
        other.join().expect("the other thread");
        assert_eq!(lost, 0, "segments with a hole");
    }
}
