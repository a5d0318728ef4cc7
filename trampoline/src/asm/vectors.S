// SPDX-License-Identifier: GPL-2.0-only
//
// Vector registers around work that may use any of them (vectors.rs).
//
// void stowaway_with_vectors(void (*work)(usize) /*rdi*/, usize argument /*rsi*/)
// Calls `work(argument)`; SSE, AVX and AVX-512 state is the same afterwards.
// In: C ABI. Out: none. Clobbers: what the C ABI lets a function clobber, but no vector register.
// Stack: the XSAVE area (512 bytes to 2.7 KiB) and up to 64 bytes for its alignment.
// Limits: x87 and AMX state is not saved. The two words of the xsave operand are constant once a thread is armed.
// CFI: by rbp.

    .pushsection .text,"ax",@progbits
    .hidden stowaway_with_vectors
    .globl stowaway_with_vectors
    .type stowaway_with_vectors,@function
stowaway_with_vectors:
    .cfi_startproc
    push rbp
    .cfi_def_cfa rsp, 16
    .cfi_offset rbp, -16
    mov rbp, rsp
    .cfi_def_cfa_register rbp
    mov r8, rdi
    mov rdi, rsi
    mov ecx, [rip + {xsave}]
    test ecx, ecx
    jz .Lvectors_without_xsave
    sub rsp, rcx
    and rsp, -64
    xor edx, edx
    // The header must be zero before XSAVE (SDM 13.4.2).
    mov [rsp + 512], rdx
    mov [rsp + 520], rdx
    mov [rsp + 528], rdx
    mov [rsp + 536], rdx
    mov [rsp + 544], rdx
    mov [rsp + 552], rdx
    mov [rsp + 560], rdx
    mov [rsp + 568], rdx
    mov eax, [rip + {xsave} + 4]
    xsave64 [rsp]
    call r8
    mov eax, [rip + {xsave} + 4]
    xor edx, edx
    xrstor64 [rsp]
    jmp .Lvectors_restored
.Lvectors_without_xsave:
    // FXSAVE serves where the CPU has no XSAVE.
    sub rsp, 512
    and rsp, -64
    fxsave64 [rsp]
    call r8
    fxrstor64 [rsp]
.Lvectors_restored:
    mov rsp, rbp
    pop rbp
    .cfi_def_cfa rsp, 8
    ret
    .cfi_endproc
    .popsection
