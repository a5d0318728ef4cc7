// SPDX-License-Identifier: GPL-2.0-only
//! The two ends of the loader: where the dynamic loader hands over to us, and where we hand over to the program.
#![allow(unsafe_code)]

use core::arch::global_asm;

global_asm!(
    // A shared object with an interpreter can be executed, as libc.so.6 can. 'R': the linker sees no use of it.
    ".pushsection .interp,\"aR\",@progbits",
    ".asciz \"/lib64/ld-linux-x86-64.so.2\"",
    ".popsection",
    ".pushsection .text.stowaway_load,\"ax\",@progbits",
    // From the dynamic loader, as from the kernel (System V ABI x86-64, 3.4.1): rsp at argc, rdx its fini. The
    // constructors of libc and libgcc ran; ours did not: a program's own are left to its start-up code.
    ".hidden stowaway_load",
    ".globl stowaway_load",
    ".type stowaway_load,@function",
    "stowaway_load:",
    ".cfi_startproc",
    ".cfi_undefined rip",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {begin}",
    "ud2",
    ".cfi_endproc",
    // enter(usize sp /*rdi*/, usize entry /*rsi*/) -> !: a program's first instruction, with its registers as the
    // kernel leaves them (ELF_PLAT_INIT): all zero, rdx above all, in which the ABI hands a function to atexit.
    ".hidden stowaway_load_enter",
    ".globl stowaway_load_enter",
    ".type stowaway_load_enter,@function",
    "stowaway_load_enter:",
    ".cfi_startproc",
    ".cfi_undefined rip",
    "mov rsp, rdi",
    // In the red zone, where not even a signal frame comes.
    "mov [rsp - 8], rsi",
    "pxor xmm0, xmm0",
    "pxor xmm1, xmm1",
    "pxor xmm2, xmm2",
    "pxor xmm3, xmm3",
    "pxor xmm4, xmm4",
    "pxor xmm5, xmm5",
    "pxor xmm6, xmm6",
    "pxor xmm7, xmm7",
    "pxor xmm8, xmm8",
    "pxor xmm9, xmm9",
    "pxor xmm10, xmm10",
    "pxor xmm11, xmm11",
    "pxor xmm12, xmm12",
    "pxor xmm13, xmm13",
    "pxor xmm14, xmm14",
    "pxor xmm15, xmm15",
    "xor eax, eax",
    "xor ebx, ebx",
    "xor ecx, ecx",
    "xor edx, edx",
    "xor esi, esi",
    "xor edi, edi",
    "xor ebp, ebp",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "xor r10d, r10d",
    "xor r11d, r11d",
    "xor r12d, r12d",
    "xor r13d, r13d",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "cld",
    "jmp qword ptr [rsp - 8]",
    ".cfi_endproc",
    ".popsection",
    begin = sym super::begin,
);

extern "C" {
    /// Starts the program whose initial stack begins at `sp`, at `entry`.
    #[link_name = "stowaway_load_enter"]
    pub fn enter(sp: usize, entry: usize) -> !;
}
