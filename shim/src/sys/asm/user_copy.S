// SPDX-License-Identifier: GPL-2.0-only
// Copies from and to memory that the application only claims to have (sys/user.rs).
//
// stowaway_user_copy(to rdi, from rsi, n rdx) -> rax: bytes not copied.
// stowaway_user_string(to rdi, from rsi, max rdx) -> rax: length without the NUL, -1: no NUL within max, -2: fault.
//
// Contract: C calling convention, direction flag clear. A fault at `stowaway_user_copy_at` or
// `stowaway_user_string_at` is sent on to the `_out` label by the signal handler (sys/user.rs, fixup), with all
// registers as they were.
// Clobbers: rax, rcx, rsi, rdi, flags; memory at rdi.
// Stack: none. Both are leaves, so a thread that is interrupted in one can be unwound.
// Limits: the `_at` instructions are the only ones that touch the application's memory.

.pushsection .text,"ax",@progbits

.hidden stowaway_user_copy
.globl stowaway_user_copy
.type stowaway_user_copy,@function
stowaway_user_copy:
    .cfi_startproc
    mov rcx, rdx
.hidden stowaway_user_copy_at
.globl stowaway_user_copy_at
stowaway_user_copy_at:
    rep movsb
.hidden stowaway_user_copy_out
.globl stowaway_user_copy_out
stowaway_user_copy_out:
    mov rax, rcx
    ret
    .cfi_endproc
.size stowaway_user_copy, . - stowaway_user_copy

.hidden stowaway_user_string
.globl stowaway_user_string
.type stowaway_user_string,@function
stowaway_user_string:
    .cfi_startproc
    xor eax, eax
.Luser_string_next_byte:
    cmp rax, rdx
    jae .Luser_string_too_long
.hidden stowaway_user_string_at
.globl stowaway_user_string_at
stowaway_user_string_at:
    mov cl, [rsi + rax]
    mov [rdi + rax], cl
    test cl, cl
    jz .Luser_string_done
    inc rax
    jmp .Luser_string_next_byte
.Luser_string_too_long:
    mov rax, -1
.Luser_string_done:
    ret
.hidden stowaway_user_string_out
.globl stowaway_user_string_out
stowaway_user_string_out:
    mov rax, -2
    ret
    .cfi_endproc
.size stowaway_user_string, . - stowaway_user_string

.popsection
