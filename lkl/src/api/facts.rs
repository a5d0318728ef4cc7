// SPDX-License-Identifier: GPL-2.0-only
//! Facts about the kernel: its interface, its memory, its functions, its log.
//!
//! # Safety
//! Entry points are addresses of the running image, of the types that the overlay's `asm/host.h` declares.
#![allow(unsafe_code)]

use crate::attach::Kernel;
use crate::cpu::Count;
use crate::instance::symbols::{self, Symbol};
use crate::sys::file::write_all;
use std::ffi::{c_char, c_void, CStr};
use std::mem::transmute;
use std::ops::Range;

/// `struct lkl_abi_row`: a fact about the kernel's binary interface.
#[derive(Debug)]
#[repr(C)]
pub struct AbiRow {
    name: *const c_char,
    /// The row's value.
    pub value: u64,
}

impl AbiRow {
    /// The row's name.
    pub fn name(&self) -> &CStr {
        // SAFETY: rows handed out by Kernel::abi() point to literals of the kernel image.
        unsafe { CStr::from_ptr(self.name) }
    }
}

/// For the comparison with the kernel's (`kernel/layout_rows.h`).
#[cfg(test)]
pub(super) const ABI_ROW_LAYOUT: &[crate::sys::layout::Row] =
    crate::sys::layout::layout_rows!("lkl_abi_row" = AbiRow { name, value });

/// The rows of a table of the kernel's.
///
/// # Safety
/// The table is constant data of a mapped image and ends with a null name.
pub(super) unsafe fn read_rows(rows: *const AbiRow) -> &'static [AbiRow] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut n = 0;
        while !(*rows.add(n)).name.is_null() {
            n += 1;
        }
        std::slice::from_raw_parts(rows, n)
    }
}

impl Kernel {
    /// The function of the kernel at an address.
    pub fn symbol(&self, address: usize) -> Option<Symbol> {
        symbols::find(address.wrapping_sub(self.base()))
    }

    /// Where the image begins.
    pub fn base(&self) -> usize {
        self.region.base()
    }

    /// Writes `START SIZE name` for each function of the kernel, as perf reads it from /tmp/perf-PID.map.
    pub fn write_perf_map(&self, fd: i32) {
        symbols::write_perf_map(self.base(), fd);
    }

    /// Gives the end of the kernel log to `each`, in pieces. Not in a signal handler, and one caller at a time.
    pub fn read_log(&self, each: &mut dyn FnMut(&[u8])) {
        unsafe extern "C" fn emit(ctx: *mut c_void, s: *const u8, len: usize) {
            // SAFETY: the context is the reference that is handed on below; the text is the kernel's.
            unsafe { (*ctx.cast::<&mut dyn FnMut(&[u8])>())(std::slice::from_raw_parts(s, len)) };
        }
        type Emit = unsafe extern "C" fn(*mut c_void, *const u8, usize);
        let mut each = each;
        // SAFETY: as in `dump_log`.
        unsafe {
            let f = transmute::<usize, unsafe extern "C" fn(Emit, *mut c_void)>(self.loaded.entries.dump_log);
            f(emit, (&raw mut each).cast());
        }
    }

    /// Writes the end of the kernel log to a host descriptor; best effort, from anywhere.
    pub fn dump_log(&self, fd: i32) {
        unsafe extern "C" fn emit(ctx: *mut c_void, s: *const u8, len: usize) {
            // SAFETY: the kernel's text.
            let text = unsafe { std::slice::from_raw_parts(s, len) };
            write_all(ctx as usize as i32, text);
        }
        type Emit = unsafe extern "C" fn(*mut c_void, *const u8, usize);
        // SAFETY: the entry has this type; it reads the log without locks.
        unsafe {
            let f = transmute::<usize, unsafe extern "C" fn(Emit, *mut c_void)>(self.loaded.entries.dump_log);
            f(emit, fd as usize as *mut c_void);
        }
    }

    /// Facts about the kernel's binary interface, for tests.
    pub fn abi(&self) -> &'static [AbiRow] {
        // SAFETY: the entry has this type and returns a table that ends with a null name.
        unsafe {
            let f = transmute::<usize, unsafe extern "C" fn() -> *const AbiRow>(self.loaded.entries.abi);
            read_rows(f())
        }
    }

    /// What the doorbell counted so far.
    pub fn counted(&self, what: Count) -> u64 {
        self.words.counted(what)
    }

    /// Everything of the kernel: code, data, its stacks and memory.
    pub fn region(&self) -> Range<usize> {
        self.region.range()
    }
}
