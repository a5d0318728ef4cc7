// SPDX-License-Identifier: GPL-2.0-only
//! The caller's registers, as the entry hands them to the handler.
//!
//! # Safety
//! A frame is made by the entry alone. Until the entry returns, the words at `caller_words` are on the caller's stack.
#![allow(unsafe_code)]

use core::mem::offset_of;

/// All general registers of the caller as they stood at its `syscall` instruction.
///
/// `rax` is the result that the caller will see; `nr` the number it asked for. What `syscall` itself
/// clobbers (rcx, r11) is set on the way out as the kernel sets it: the next rip, and the flags.
#[repr(C, align(16))]
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Frame {
    // These two stand as in any function's frame, so that profilers which follow rbp find the caller.
    pub rbp: usize,
    /// The address behind the `syscall` instruction.
    pub rip: usize,
    pub r15: usize,
    pub r14: usize,
    pub r13: usize,
    pub r12: usize,
    pub rbx: usize,
    pub r11: usize,
    pub r10: usize,
    pub r9: usize,
    pub r8: usize,
    pub rax: usize,
    pub rcx: usize,
    pub rdx: usize,
    pub rsi: usize,
    pub rdi: usize,
    pub nr: usize,
    pub rsp: usize,
    pub rflags: usize,
    /// The caller's stack as the entry left it: flags, number, return into the stub, `rip`.
    pub(crate) caller_words: usize,
    /// How the call came: see [`EntryKind`].
    pub(crate) entry_kind: usize,
    /// Not 0: the call is handled again from the start.
    pub again: usize,
    pub(crate) xmm: [[u64; 2]; 16],
}

/// How a call reached the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Through a rewritten site.
    Patched,
    /// Through SIGSYS.
    Signal,
}

// The unwinding expressions of entry.S give a register's offset one byte of LEB128, and that of `caller_words` two.
const _: () =
    assert!(offset_of!(Frame, rbx) < 64 && offset_of!(Frame, rbp) < 64 && offset_of!(Frame, r15) < 64);
const _: () =
    assert!(matches!(offset_of!(Frame, caller_words), 64..8192) && offset_of!(Frame, xmm) % 16 == 0);

impl Frame {
    /// The six arguments in kernel ABI order.
    pub fn args(&self) -> [usize; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// How the call came.
    pub fn entry_kind(&self) -> EntryKind {
        if self.entry_kind == 0 {
            EntryKind::Patched
        } else {
            EntryKind::Signal
        }
    }

    /// Where the stub goes on behind its restoring of the stack, with rcx = `rip`.
    pub(crate) fn resume(&self) -> usize {
        /// pop rcx; lea rsp, [rsp + 128]
        const STUB_RESTORES: usize = 1 + 8;
        // SAFETY: the entry's words on the caller's stack are there until it returns.
        unsafe { self.stub_return().read() + STUB_RESTORES }
    }

    /// The word on the caller's stack by which the entry returns to the stub.
    pub(crate) fn stub_return(&self) -> *mut usize {
        (self.caller_words + 16) as *mut usize
    }
}
