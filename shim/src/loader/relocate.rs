// SPDX-License-Identifier: GPL-2.0-only
//! What a dynamic loader does for a program, done by the library for itself: the library is executed without a dynamic loader, as a
//! static PIE is. A dynamic loader and a libc of our own would cost an exec as much as all the rest of ours together.
//!
//! Sources: System V ABI x86-64, 4.4 (relocations); "ELF Handling For Thread-Local Storage", 3.4.2 (variant II); rcrt1.o of
//! glibc.
//!
//! Rules of the place: [`relocate_itself`] runs before any address in our data is right. Until [`Object::add_base`] has returned
//! nothing may be used that has one: no static with a pointer, no function of libc, no panic.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::ffi::{c_char, CStr};

use goblin::elf64::dynamic::{
    Dyn, DT_JMPREL, DT_NULL, DT_PLTRELSZ, DT_RELA, DT_RELASZ, DT_STRTAB, DT_SYMTAB,
};
use goblin::elf64::program_header::{PT_GNU_RELRO, PT_TLS};
use goblin::elf64::reloc::{
    Rela, R_X86_64_64, R_X86_64_DTPMOD64, R_X86_64_DTPOFF64, R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT,
    R_X86_64_RELATIVE, R_X86_64_TPOFF64,
};
use goblin::elf64::sym::{st_bind, Sym, STB_WEAK};

use crate::loader::in_memory::segment;
use crate::loader::no_libc;

/// More than the library has of thread-local data, and the thread's control block behind the data, at which FS points.
const TLS_MAX: usize = 1024;
const CONTROL_BLOCK: usize = 256;

#[repr(C, align(64))]
struct FirstThread(UnsafeCell<[u8; TLS_MAX + CONTROL_BLOCK]>);
// SAFETY: handed out by address alone.
unsafe impl Sync for FirstThread {}
static FIRST_THREAD: FirstThread = FirstThread(UnsafeCell::new([0; TLS_MAX + CONTROL_BLOCK]));

/// Where the first thread's FS points until the program starts.
pub fn thread_pointer() -> usize {
    FIRST_THREAD.0.get() as usize + TLS_MAX
}

/// The library in memory, and what its dynamic section says (as it stands in the file: without the base).
struct Object {
    base: usize,
    symbols: usize,
    names: usize,
    /// Address and size: of all relocations, and of those of the procedure linkage table.
    tables: [[usize; 2]; 2],
}

impl Object {
    /// # Safety
    /// The library lies at `base`, and `dynamic` is its dynamic section.
    #[inline(always)]
    unsafe fn read(base: usize, mut dynamic: *const Dyn) -> Object {
        let mut object = Object { base, symbols: 0, names: 0, tables: [[0; 2]; 2] };
        // SAFETY: the section ends with DT_NULL.
        unsafe {
            while (*dynamic).d_tag != DT_NULL {
                let value = (*dynamic).d_val as usize;
                let tag = (*dynamic).d_tag;
                if tag == DT_SYMTAB {
                    object.symbols = value;
                } else if tag == DT_STRTAB {
                    object.names = value;
                } else if tag == DT_RELA {
                    object.tables[0][0] = value;
                } else if tag == DT_RELASZ {
                    object.tables[0][1] = value;
                } else if tag == DT_JMPREL {
                    object.tables[1][0] = value;
                } else if tag == DT_PLTRELSZ {
                    object.tables[1][1] = value;
                }
                dynamic = dynamic.add(1);
            }
        }
        object
    }

    /// Whether somebody else has relocated the library: a dynamic loader that was executed by hand.
    ///
    /// # Safety
    /// As for [`Object::read`].
    #[inline(always)]
    unsafe fn is_relocated(&self) -> bool {
        let first = (self.base + self.tables[0][0]) as *const Rela;
        // SAFETY: the table begins with places of our data that get addresses of our own.
        unsafe {
            *((self.base + (*first).r_offset as usize) as *const usize)
                == self.base + (*first).r_addend as usize
        }
    }

    /// Puts addresses of our own in place.
    ///
    /// # Safety
    /// As for [`Object::read`], and nobody else has done it.
    #[inline(always)]
    unsafe fn add_base(&self) {
        let [table, size] = self.tables[0];
        let mut entry = (self.base + table) as *const Rela;
        // SAFETY: the entries of the table name places of our data.
        unsafe {
            let end = entry.byte_add(size);
            while entry < end {
                if (*entry).r_info as u32 == R_X86_64_RELATIVE {
                    *((self.base + (*entry).r_offset as usize) as *mut usize) =
                        self.base + (*entry).r_addend as usize;
                }
                entry = entry.add(1);
            }
        }
    }

    /// Puts all else in place: functions of libc, and thread-local data, which begin `tls` bytes below the thread pointer.
    ///
    /// # Safety
    /// As for [`Object::add_base`], which is done.
    unsafe fn bind(&self, tls: usize) {
        for [table, size] in self.tables {
            let first = (self.base + table) as *const Rela;
            for index in 0..size / size_of::<Rela>() {
                // SAFETY: as for add_base(); the table of symbols has what a relocation names.
                unsafe { self.bind_one(&*first.add(index), tls) };
            }
        }
    }

    /// # Safety
    /// As for [`Object::bind`].
    unsafe fn bind_one(&self, entry: &Rela, tls: usize) {
        let addend = entry.r_addend as usize;
        // SAFETY: the caller's promise.
        let symbol =
            unsafe { &*((self.base + self.symbols) as *const Sym).add((entry.r_info >> 32) as usize) };
        let value = symbol.st_value as usize;
        let word = match entry.r_info as u32 {
            R_X86_64_GLOB_DAT | R_X86_64_JUMP_SLOT => self.address(symbol),
            R_X86_64_64 => self.address(symbol) + addend,
            R_X86_64_DTPMOD64 => 1,
            R_X86_64_DTPOFF64 => value + addend,
            R_X86_64_TPOFF64 => value.wrapping_add(addend).wrapping_sub(tls),
            _ => return,
        };
        // SAFETY: a place of our data.
        unsafe { *((self.base + entry.r_offset as usize) as *mut usize) = word };
    }

    /// Where a symbol is: ours, or what stands for libc's. 0: nobody has it.
    fn address(&self, symbol: &Sym) -> usize {
        if symbol.st_shndx != 0 {
            return self.base + symbol.st_value as usize;
        }
        let name = (self.base + self.names + symbol.st_name as usize) as *const c_char;
        // SAFETY: a string of the library's string table.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        match no_libc::find(name) {
            None if st_bind(symbol.st_info) == STB_WEAK => 0,
            None => no_libc::give_up(b"nothing stands for libc's ", name),
            Some(address) => address,
        }
    }
}

/// The entry calls this (`asm/entry.S`): with the initial stack pointer, where the library lies, and its dynamic section.
///
/// # Safety
/// Called once, before anything else of the library.
pub unsafe extern "C" fn relocate_itself(sp: *mut usize, base: usize, dynamic: *const Dyn) {
    // SAFETY: the caller's promise.
    unsafe {
        let object = Object::read(base, dynamic);
        if !object.is_relocated() {
            object.add_base();
            finish(&object, sp);
        }
    }
}

/// What may use our data: all but our own addresses, the thread's data, and what is constant from here on.
///
/// # Safety
/// As for [`Object::bind`].
#[inline(never)]
unsafe fn finish(object: &Object, sp: *mut usize) {
    // SAFETY: the library begins with its header.
    let segment = |kind| unsafe { segment(object.base, kind) };
    let tls = segment(PT_TLS);
    let len = tls.map_or(0, |tls| tls.p_memsz.next_multiple_of(tls.p_align.max(1)) as usize);
    if len > TLS_MAX {
        no_libc::give_up(b"no room for thread-local data", b"");
    }
    // SAFETY: the caller's promise; and the thread's data have room.
    unsafe {
        object.bind(len);
        if let Some(tls) = tls {
            let (from, to) = (object.base + tls.p_vaddr as usize, thread_pointer() - len);
            core::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, tls.p_filesz as usize);
        }
        no_libc::begin(sp, len);
        if let Some(constant) = segment(PT_GNU_RELRO) {
            no_libc::make_constant(object.base + constant.p_vaddr as usize, constant.p_memsz as usize);
        }
    }
}
