// SPDX-License-Identifier: GPL-2.0-only
//! Vector registers: what the CPU has, and what has to be saved around the handler.
#![allow(unsafe_code)]

use core::arch::{global_asm, x86_64::__cpuid_count};

/// What the handler may do to the vector registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vectors {
    /// It uses xmm0-15 with legacy SSE instructions only.
    Sse,
    /// Anything that the CPU has and the host enables, up to AVX-512.
    All,
}

/// Vector state for [`with_all_vectors`]: SSE, AVX, and the three AVX-512 components (Intel SDM vol. 1,
/// 13.1). x87 and AMX are left out: nobody here touches them.
const XSAVE_WANTED: u32 = 0b1110_0110;
/// Bytes of the XSAVE area, 0 where the CPU has none (then FXSAVE serves); and the components.
static mut STOWAWAY_XSAVE: [u32; 2] = [0, 0];
/// What the entry saves beside xmm: 0 nothing, 1 ymm, 2 zmm and masks.
pub(crate) static mut STOWAWAY_WIDE: u32 = 0;

/// Reads CPUID once. Must run before the first call is caught.
pub(crate) fn prepare(vectors: Vectors) {
    let features = __cpuid_count(1, 0);
    if features.ecx & (1 << 27) == 0 {
        return; // no OSXSAVE: SSE only
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
    let wide = match vectors {
        Vectors::Sse => 0,
        Vectors::All if wanted & 0xe0 == 0xe0 => 2,
        Vectors::All => u32::from(wanted & 4 != 0),
    };
    // SAFETY: called from install(), before any thread can come through the entry.
    unsafe {
        STOWAWAY_XSAVE = [size, wanted];
        STOWAWAY_WIDE = wide;
    }
}

/// Runs `work(argument)`, which may use any vector instruction, for a handler that promised [`Vectors::Sse`].
pub fn with_all_vectors(work: extern "C" fn(usize), argument: usize) {
    // SAFETY: the assembler has the C ABI and calls `work` once.
    unsafe { stowaway_with_vectors(work, argument) }
}

global_asm!(
    ".pushsection .text,\"ax\",@progbits",
    // ---- void with_vectors(void (*work)(usize) /*rdi*/, usize argument /*rsi*/)
    ".hidden stowaway_with_vectors",
    ".globl stowaway_with_vectors",
    ".type stowaway_with_vectors,@function",
    "stowaway_with_vectors:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa rsp, 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov r8, rdi",
    "mov rdi, rsi",
    "mov ecx, [rip + {xsave}]",
    "test ecx, ecx",
    "jz 40f",
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
    "call r8",
    "mov eax, [rip + {xsave} + 4]",
    "xor edx, edx",
    "xrstor64 [rsp]",
    "jmp 41f",
    "40:",
    "sub rsp, 512",
    "and rsp, -64",
    "fxsave64 [rsp]",
    "call r8",
    "fxrstor64 [rsp]",
    "41:",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".popsection",
    xsave = sym STOWAWAY_XSAVE,
);

extern "C" {
    fn stowaway_with_vectors(work: extern "C" fn(usize), argument: usize);
}
