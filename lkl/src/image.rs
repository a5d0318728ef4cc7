// SPDX-License-Identifier: GPL-2.0-only
//! The embedded library, made to run where it lies.
//!
//! `kbuild` hands us a memory image: file offset = address, bss included, page-aligned.  It sits
//! in our own read-only data, so loading is a matter of page protections: text becomes executable
//! (its pages stay shared with every process that maps this file), data becomes writable (private
//! copies of what is written), bss becomes fresh zero pages, and the relative relocations are
//! applied.  No file is opened, nothing is copied.  There is no TLS and no undefined symbol.

use crate::sys::{host, protect, PAGE};
use crate::Errno;
use goblin::elf64::{dynamic, header, program_header, sym};
use std::ops::Range;

#[repr(C, align(4096))]
struct PageAligned<T: ?Sized>(T);

static IMAGE: &PageAligned<[u8]> = &PageAligned(*include_bytes!(env!("LKL_IMAGE")));

/// Entry points of `asm/host.h`, as addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entries {
    pub(crate) boot: usize,
    pub(crate) syscall: usize,
    pub(crate) interrupt: usize,
    pub(crate) irq: usize,
    pub(crate) thread_exit: usize,
    pub(crate) fault_fixup: usize,
    pub(crate) dump_log: usize,
    pub(crate) abi: usize,
}

/// Where it lies and what it exports.
pub(crate) struct Loaded {
    pub(crate) entries: Entries,
    pub(crate) text: Range<usize>,
}

/// Turns the image into code.  To be called once.
///
/// # Safety
/// Changes the protection and contents of `IMAGE`; nothing may read it as data afterwards.
pub(crate) unsafe fn load() -> Result<Loaded, Errno> {
    let base = IMAGE.0.as_ptr() as usize;
    let (_, bytes) = (base, IMAGE.0.len());
    // SAFETY: kbuild wrote the image with its ELF header and program headers in the first page.
    let segments = unsafe {
        let head = &*(base as *const header::Header);
        std::slice::from_raw_parts(
            (base + head.e_phoff as usize) as *const program_header::ProgramHeader,
            head.e_phnum as usize,
        )
    };
    let mut text = 0..0;
    let mut dyns = 0;
    for s in segments {
        let at = base + s.p_vaddr as usize;
        match s.p_type {
            program_header::PT_LOAD if s.p_flags & program_header::PF_W != 0 => {
                make_data(at, s.p_filesz as usize, s.p_memsz as usize)?;
            }
            program_header::PT_LOAD if s.p_flags & program_header::PF_X != 0 => {
                text = at..at + s.p_memsz as usize;
            }
            program_header::PT_DYNAMIC => dyns = at,
            _ => {}
        }
    }
    debug_assert!(text.end <= base + bytes);
    // SAFETY: the data segment is writable now and the dynamic section lies in it.
    let entries = unsafe { link(base, dyns) }.ok_or(Errno(libc::ENOEXEC))?;
    let len = text.len().next_multiple_of(PAGE);
    protect(text.start, len, libc::PROT_READ | libc::PROT_EXEC)?;
    Ok(Loaded { entries, text })
}

/// Writable private pages; those of bss alone are fresh ones.
fn make_data(at: usize, file_bytes: usize, mem_bytes: usize) -> Result<(), Errno> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let split = (at + file_bytes).next_multiple_of(PAGE);
    let end = (at + mem_bytes).next_multiple_of(PAGE);
    protect(at, split - at, prot)?;
    if end > split {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let args = [split, end - split, prot as usize, flags as usize, usize::MAX, 0];
        Errno::check(host(libc::SYS_mmap, args))?;
    }
    Ok(())
}

/// Relocates, and finds the exported functions.
///
/// # Safety
/// `dyns` is the address of the image's dynamic section, its data writable.
unsafe fn link(base: usize, dyns: usize) -> Option<Entries> {
    const DT_RELR: u64 = 36;
    const DT_RELRSZ: u64 = 35;
    let (mut relr, mut relr_bytes, mut symtab, mut strtab) = (0, 0, 0, 0);
    let mut d = dyns as *const dynamic::Dyn;
    // SAFETY: the section ends with DT_NULL; what it names lies in the image.
    unsafe {
        while (*d).d_tag != dynamic::DT_NULL {
            let v = (*d).d_val as usize;
            match (*d).d_tag {
                DT_RELR => relr = base + v,
                DT_RELRSZ => relr_bytes = v,
                dynamic::DT_SYMTAB => symtab = base + v,
                dynamic::DT_STRTAB => strtab = base + v,
                // the linker is told to pack them all
                dynamic::DT_RELA | dynamic::DT_JMPREL if v != 0 => return None,
                _ => {}
            }
            d = d.add(1);
        }
        apply_relr(base, relr as *const usize, relr_bytes / 8);
        // the overlay's linker script puts .dynstr right behind .dynsym
        let syms = std::slice::from_raw_parts(symtab as *const sym::Sym, (strtab - symtab) / sym::SIZEOF_SYM);
        let find = |name: &[u8]| find(syms, strtab, name).map(|v| base + v);
        Some(Entries {
            boot: find(b"lkl_boot\0")?,
            syscall: find(b"lkl_syscall\0")?,
            interrupt: find(b"lkl_interrupt\0")?,
            irq: find(b"lkl_irq\0")?,
            thread_exit: find(b"lkl_thread_exit\0")?,
            fault_fixup: find(b"lkl_fault_fixup\0")?,
            dump_log: find(b"lkl_dump_log\0")?,
            abi: find(b"lkl_abi\0")?,
        })
    }
}

/// # Safety
/// `syms` and `strtab` are the image's.
unsafe fn find(syms: &[sym::Sym], strtab: usize, name: &[u8]) -> Option<usize> {
    let same = |s: &&sym::Sym| {
        let at = (strtab + s.st_name as usize) as *const u8;
        // SAFETY: both end with a zero byte, and the comparison stops at the first difference.
        name.iter().enumerate().all(|(i, b)| unsafe { *at.add(i) } == *b)
    };
    syms.iter().find(same).map(|s| s.st_value as usize)
}

/// Packed relative relocations (SHT_RELR): an even entry is the address of one word; an odd one a
/// bitmap of the 63 words behind the last.
///
/// # Safety
/// The table is the image's and all places it names are writable.
unsafe fn apply_relr(base: usize, table: *const usize, n: usize) {
    let mut at = std::ptr::null_mut::<usize>();
    for i in 0..n {
        // SAFETY: within the table, and the places it names are the image's own words.
        unsafe {
            let e = *table.add(i);
            if e & 1 == 0 {
                at = (base + e) as *mut usize;
                *at = (*at).wrapping_add(base);
                at = at.add(1);
                continue;
            }
            let mut bits = e >> 1;
            while bits != 0 {
                let place = at.add(bits.trailing_zeros() as usize);
                *place = (*place).wrapping_add(base);
                bits &= bits - 1;
            }
            at = at.add(63);
        }
    }
}
