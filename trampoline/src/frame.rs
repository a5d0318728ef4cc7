// SPDX-License-Identifier: GPL-2.0-only
//! The caller's registers, and the assembler that saves and restores them around the handler.
#![allow(unsafe_code)]

use core::arch::{global_asm, x86_64::__cpuid_count};
use core::mem::offset_of;

use crate::gate::stowaway_gate_clone;

/// All general registers of the caller as they stood at its `syscall` instruction.
///
/// `rax` is the result that the caller will see; `nr` the number it asked for. What `syscall` itself
/// clobbers (rcx, r11) is set on the way out as the kernel sets it: the next rip, and the flags.
#[repr(C)]
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Frame {
    pub r15: usize,
    pub r14: usize,
    pub r13: usize,
    pub r12: usize,
    pub rbp: usize,
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
    // Where the caller goes on.
    pub rsp: usize,
    pub rip: usize,
    pub rflags: usize,
    _pad: usize,
}

const _: () = assert!(offset_of!(Frame, rsp) == 16 * 8);

impl Frame {
    /// The six arguments in kernel ABI order.
    pub fn args(&self) -> [usize; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// Carries out clone(2) (`nr` 56) or clone3(2) (435) for the caller with `args`, where `stack_top` is
    /// the child's new stack pointer. The parent gets the result; the child goes on at the caller's own
    /// call site, armed, with the caller's registers and 0 in rax.
    ///
    /// `sp_slot` is where the adjusted stack pointer has to be stored for the kernel to find it: the
    /// argument itself, or the `stack_size` of a private copy of `clone_args` (as a size).
    ///
    /// # Safety
    /// The call's own conditions; `stack_top` must be the top of writable memory that nobody uses.
    pub unsafe fn clone_onto(&self, nr: i64, args: &[usize; 6], stack_top: usize) -> isize {
        let top = (stack_top - CHILD_WORDS * 8) as *mut usize;
        // SAFETY: the caller vouches for the memory below stack_top; the child pops these words
        // (gate.rs) before it goes on with rsp == stack_top.
        unsafe {
            top.write(self.rdi);
            top.add(1).write(self.rsi);
            top.add(2).write(self.rflags);
            top.add(3).write(self.rip);
            stowaway_gate_clone(self, args.as_ptr(), nr)
        }
    }
}

/// Words that [`Frame::clone_onto`] puts on the child's stack: the stack pointer handed to the kernel has
/// to be this many words (of 8 bytes) below the one that the application asked for.
pub const CHILD_WORDS: usize = 4;

/// Vector state that the handler may clobber: SSE, AVX, and the three AVX-512 components (Intel SDM vol. 1,
/// 13.1). x87 and AMX are left out: neither our code nor the kernel library touches them.
const XSAVE_WANTED: u32 = 0b1110_0110;

/// Bytes of the XSAVE area, 0 where the CPU has none (then FXSAVE serves); and the components.
static mut STOWAWAY_XSAVE: [u32; 2] = [0, 0];

/// Reads CPUID leaf 0xD once. Must run before the first redirect.
pub(crate) fn prepare() {
    let features = __cpuid_count(1, 0);
    if features.ecx & (1 << 27) == 0 {
        return; // no OSXSAVE: FXSAVE
    }
    let enabled: u32;
    // SAFETY: OSXSAVE is set, so xgetbv(0) is allowed.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _, options(nomem, nostack));
    }
    let wanted = enabled & XSAVE_WANTED;
    let mut size = 576; // legacy region and header
    for component in 2..8 {
        if wanted & (1 << component) != 0 {
            let leaf = __cpuid_count(0xd, component);
            size = size.max(leaf.ebx + leaf.eax);
        }
    }
    // SAFETY: called once, from install(), before any thread can be redirected.
    unsafe { STOWAWAY_XSAVE = [size, wanted] };
}

global_asm!(
    ".pushsection .text.stowaway_entry,\"ax\",@progbits",
    ".hidden stowaway_entry",
    ".globl stowaway_entry",
    ".type stowaway_entry,@function",
    // In: the caller's registers, but rcx the rip to go on at and r11 its flags (`syscall` clobbers both);
    // DF clear. Nothing was written to the stack: the signal frame that led here lay right below the
    // red zone and had to stay whole. Out: the caller's registers, rax the result.
    "stowaway_entry:",
    ".cfi_startproc simple",
    ".cfi_def_cfa rsp, 0",
    ".cfi_register rip, rcx",
    ".cfi_val_offset rsp, 0",
    "lea rsp, [rsp - 128]",
    "push r11",
    "push rcx",
    "lea rcx, [rsp + 144]", // the caller's rsp
    "mov r11, rsp",
    "and rsp, -16",
    "push r11", // pad
    "push qword ptr [r11 + 8]",
    "push qword ptr [r11]",
    "push rcx",
    "push rax", // nr
    "push rdi",
    "push rsi",
    "push rdx",
    "push rcx",
    "push rax",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    ".cfi_def_cfa rsp, 128",
    // rsp and rip of the caller stand in the frame: [cfa], [cfa + 8].
    ".cfi_offset rsp, 0",
    ".cfi_offset rip, 8",
    ".cfi_offset rbp, {rbp} - 128",
    ".cfi_offset rbx, {rbx} - 128",
    ".cfi_offset r12, {r12} - 128",
    ".cfi_offset r13, {r13} - 128",
    ".cfi_offset r14, {r14} - 128",
    ".cfi_offset r15, {r15} - 128",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov ecx, [rip + {xsave}]",
    "test ecx, ecx",
    "jz 3f",
    "sub rsp, rcx",
    "and rsp, -64",
    "xor edx, edx",
    // The header must be zero before XSAVE (SDM 13.4.2).
    "mov [rsp + 512], rdx",
    "mov [rsp + 520], rdx",
    "mov [rsp + 528], rdx",
    "mov [rsp + 536], rdx",
    "mov [rsp + 544], rdx",
    "mov [rsp + 552], rdx",
    "mov [rsp + 560], rdx",
    "mov [rsp + 568], rdx",
    "mov eax, [rip + {xsave} + 4]",
    "xsave64 [rsp]",
    "mov rdi, rbp",
    "call {handle}",
    "mov eax, [rip + {xsave} + 4]",
    "xor edx, edx",
    "xrstor64 [rsp]",
    "4:",
    "mov rsp, rbp",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "add rsp, 8",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rax",
    "add rsp, 8",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "add rsp, 8",
    "mov rcx, [rsp + 8]",
    "mov r11, [rsp + 16]",
    "push r11",
    "popfq",
    "mov rsp, [rsp]",
    "jmp rcx",
    "3:",
    "sub rsp, 512",
    "fxsave64 [rsp]",
    "mov rdi, rbp",
    "call {handle}",
    "fxrstor64 [rsp]",
    "jmp 4b",
    ".cfi_endproc",
    ".popsection",
    xsave = sym STOWAWAY_XSAVE,
    handle = sym crate::sud::handle,
    rbp = const offset_of!(Frame, rbp),
    rbx = const offset_of!(Frame, rbx),
    r12 = const offset_of!(Frame, r12),
    r13 = const offset_of!(Frame, r13),
    r14 = const offset_of!(Frame, r14),
    r15 = const offset_of!(Frame, r15),
);

extern "C" {
    static stowaway_entry: u8;
}

/// Address of the entry that a redirected caller goes on at.
pub(crate) fn entry_address() -> usize {
    &raw const stowaway_entry as usize
}
