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
    // The caller's rip is where it goes on, not behind a call: unwinders must not look one byte before it.
    ".cfi_signal_frame",
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
    "jz 2f",
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
    "jmp 3f",
    "2:",
    "sub rsp, 512",
    "fxsave64 [rsp]",
    "3:",
    "mov rdi, rbp",
    "call {handle}",
    // From here on the unwinding tables are exact at every instruction: a handler that unwinds may interrupt.
    ".hidden stowaway_entry_handled",
    ".globl stowaway_entry_handled",
    "stowaway_entry_handled:",
    "test rax, rax",
    "jz 4f",
    "call rax",
    "4:",
    "mov eax, [rip + {xsave} + 4]",
    "test eax, eax",
    "jz 5f",
    "xor edx, edx",
    "xrstor64 [rsp]",
    "jmp 6f",
    "5:",
    "fxrstor64 [rsp]",
    "6:",
    "mov rsp, rbp",
    ".cfi_def_cfa_register rsp",
    "push qword ptr [rsp + {rflags}]",
    ".cfi_adjust_cfa_offset 8",
    "popfq",
    ".cfi_adjust_cfa_offset -8",
    // No pops: the frame stays whole, and the tables true, until the stack is switched.
    "mov r15, [rsp + {r15}]",
    "mov r14, [rsp + {r14}]",
    "mov r13, [rsp + {r13}]",
    "mov r12, [rsp + {r12}]",
    "mov rbp, [rsp + {rbp}]",
    "mov rbx, [rsp + {rbx}]",
    "mov r10, [rsp + {r10}]",
    "mov r9, [rsp + {r9}]",
    "mov r8, [rsp + {r8}]",
    "mov rax, [rsp + {rax}]",
    "mov rdx, [rsp + {rdx}]",
    "mov rsi, [rsp + {rsi}]",
    "mov rdi, [rsp + {rdi}]",
    "mov r11, [rsp + {rflags}]",
    "mov rcx, [rsp + {rip}]",
    "mov rsp, [rsp + {rsp}]",
    ".cfi_def_cfa rsp, 0",
    ".cfi_register rip, rcx",
    ".cfi_val_offset rsp, 0",
    ".cfi_same_value rbp",
    ".cfi_same_value rbx",
    ".cfi_same_value r12",
    ".cfi_same_value r13",
    ".cfi_same_value r14",
    ".cfi_same_value r15",
    "jmp rcx",
    ".hidden stowaway_entry_end",
    ".globl stowaway_entry_end",
    "stowaway_entry_end:",
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
    r10 = const offset_of!(Frame, r10),
    r9 = const offset_of!(Frame, r9),
    r8 = const offset_of!(Frame, r8),
    rax = const offset_of!(Frame, rax),
    rdx = const offset_of!(Frame, rdx),
    rsi = const offset_of!(Frame, rsi),
    rdi = const offset_of!(Frame, rdi),
    rip = const offset_of!(Frame, rip),
    rsp = const offset_of!(Frame, rsp),
    rflags = const offset_of!(Frame, rflags),
);

extern "C" {
    static stowaway_entry: u8;
    static stowaway_entry_handled: u8;
    static stowaway_entry_end: u8;
}

/// Address of the entry that a redirected caller goes on at.
pub(crate) fn entry_address() -> usize {
    &raw const stowaway_entry as usize
}

/// Whether a thread interrupted at `ip` is on its way from its call to the handler: it will get there, and must
/// not be unwound before.
pub fn is_before_handler(ip: usize) -> bool {
    (entry_address()..&raw const stowaway_entry_handled as usize).contains(&ip)
}

/// Whether `ip` is in the entry's assembler.
pub fn contains(ip: usize) -> bool {
    (entry_address()..&raw const stowaway_entry_end as usize).contains(&ip)
}
