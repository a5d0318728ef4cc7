// SPDX-License-Identifier: GPL-2.0-only
//! The caller's registers, as the entry hands them to the handler.
//!
//! # Safety
//! A frame is made by the entry alone. Until the entry returns, the words at `caller_words` are on the caller's stack.
#![allow(unsafe_code)]

use core::mem::offset_of;

use crate::abi::RED_ZONE;
use crate::gate;

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

/// How much of a stack the entry takes for a frame: that of a call lies so much below the floor of the thread's own stack.
pub(crate) const FRAME_BYTES: usize = size_of::<Frame>().next_multiple_of(64);
/// Where a frame keeps [`Frame::caller_words`], and how far below the caller's stack pointer these lie.
pub(crate) const CALLER_WORDS: usize = offset_of!(Frame, caller_words);
pub(crate) const CALLER_WORDS_DEPTH: usize = 4 * size_of::<usize>() + RED_ZONE;

/// How a call reached the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Through a rewritten site.
    Patched,
    /// Through SIGSYS.
    Signal,
    /// A 32-bit call (`int 0x80`), through SIGSYS.
    Int80,
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
        match self.entry_kind {
            0 => EntryKind::Patched,
            1 => EntryKind::Signal,
            _ => EntryKind::Int80,
        }
    }

    /// Number and arguments of a 32-bit call ([`EntryKind::Int80`]), as its ABI has them: ebx, ecx, edx, esi, edi, ebp.
    pub fn call32(&self) -> (u32, [u32; 6]) {
        /// Flags, number, return into the stub, rip: then what `stowaway_redirected32` keeps.
        const RCX: usize = 4;
        // SAFETY: the words are on the caller's stack until the entry returns.
        let rcx = unsafe { (self.caller_words as *const usize).add(RCX).read() };
        let words = [self.rbx, rcx, self.rdx, self.rsi, self.rdi, self.rbp];
        (self.nr as u32, words.map(|word| word as u32))
    }

    /// Makes that call on the host.
    ///
    /// # Safety
    /// The call is the application's own.
    pub unsafe fn call32_on_host(&self) -> isize {
        let (nr, [ebx, ecx, edx, esi, edi, ebp]) = self.call32();
        let call = [nr, ebx, ecx, edx, esi, edi, ebp];
        // SAFETY: seven registers, as the gate reads them; the caller's promise.
        unsafe { gate::stowaway_gate_int80(call.as_ptr()) }
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
