// SPDX-License-Identifier: GPL-2.0-only
//! An emulator in the same process (tests/softuintr), found by its name if it was preloaded or linked.
//!
//! # Safety
//! A symbol of this name with the magic number is taken for an emulator.
#![allow(unsafe_code)]

use crate::sys::RawSyscall;
use std::ops::Range;

/// The emulator's side: `softuintr::Emulator`.
#[repr(C)]
#[derive(Debug)]
pub struct Emulator {
    magic: u64,
    /// The signal by which the emulator interrupts; the signal's handler calls `on_notify`.
    pub notify: i32,
    /// Called first: how to call the host, and flags.
    pub start: unsafe extern "C" fn(RawSyscall, u32),
    pub(super) forget: unsafe extern "C" fn(),
    pub(super) call: unsafe extern "C" fn(i64, usize, usize, usize) -> isize,
    /// For a handler of SIGILL and SIGSEGV: carries out an emulated instruction. False: it was another instruction or fault.
    pub on_illegal: unsafe extern "C" fn(*mut libc::ucontext_t) -> bool,
    /// For the signal `notify`.
    pub on_notify: unsafe extern "C" fn(*mut libc::ucontext_t),
    memory: unsafe extern "C" fn() -> Memory,
}

/// From one address to another.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Memory {
    start: usize,
    end: usize,
}

impl Emulator {
    const MAGIC: u64 = u64::from_le_bytes(*b"softuin2");
    /// A flag of `start`: receivers that sleep in the host are not interrupted there.
    pub const QUIET: u32 = 1;

    /// The emulator of this process.
    pub fn find() -> Option<&'static Emulator> {
        let found: *const Emulator;
        // SAFETY: reads the address of a symbol that may be missing: then it is 0.
        unsafe {
            std::arch::asm!(
                ".weak stowaway_softuintr",
                "mov {}, qword ptr [rip + stowaway_softuintr@GOTPCREL]",
                out(reg) found,
                options(pure, readonly, nostack, preserves_flags)
            );
        }
        // SAFETY: if it is there, it is a static of at least a magic number's size, and with ours, of this type.
        unsafe { found.as_ref().filter(|emulator| emulator.magic == Self::MAGIC) }
    }

    /// What the emulator keeps, which is not the program's: the emulator's library.
    pub fn memory(&self) -> Range<usize> {
        // SAFETY: a function without arguments, of the emulator's own.
        let memory = unsafe { (self.memory)() };
        memory.start..memory.end
    }
}
