// SPDX-License-Identifier: GPL-2.0-only
// stowaway_call_on_stack(top rdi, function rsi, argument rdx): calls function(argument) on another stack.
//
// Contract: C calling convention; `top` is the end of the stack and a multiple of 16. Returns when the function does.
// Clobbers: what a C function may.
// Stack: 16 bytes of the caller's. rbp holds the caller's stack meanwhile, for us and for unwinders.
// Limits: the function does not unwind past here.

.pushsection .text,"ax",@progbits
.p2align 4
.hidden stowaway_call_on_stack
.globl stowaway_call_on_stack
.type stowaway_call_on_stack,@function
stowaway_call_on_stack:
    .cfi_startproc
    push rbp
    .cfi_def_cfa_offset 16
    .cfi_offset rbp, -16
    mov rbp, rsp
    .cfi_def_cfa_register rbp
    mov rsp, rdi
    mov rdi, rdx
    call rsi
    mov rsp, rbp
    pop rbp
    .cfi_def_cfa rsp, 8
    ret
    .cfi_endproc
.size stowaway_call_on_stack, . - stowaway_call_on_stack
.popsection
