// SPDX-License-Identifier: GPL-2.0-only
// The functions of the unwinder, each a jump through a table that is filled at the first call (sys/unwinder.rs).
//
// In: what the function behind the name gets. Each name goes on in that function as if the caller had called the function
// itself: the unwinder looks at its caller.
// Operands: functions (the table), find (extern "C" fn(index) -> address).
// Clobbers: rax; what find() may, but for rdi, rsi and rdx, which are kept. No function of the unwinder has more than
// three arguments.
// Stack: 24 bytes, and those of find(), at the first call.

.macro stowaway_unwind index, name
.hidden \name
.globl \name
.type \name,@function
\name:
    .cfi_startproc
    mov rax, [rip + {functions} + 8 * \index]
    test rax, rax
    jz .Lfind_\name
    jmp rax
.Lfind_\name:
    push rdi
    .cfi_adjust_cfa_offset 8
    push rsi
    .cfi_adjust_cfa_offset 8
    push rdx
    .cfi_adjust_cfa_offset 8
    mov edi, \index
    call {find}
    pop rdx
    .cfi_adjust_cfa_offset -8
    pop rsi
    .cfi_adjust_cfa_offset -8
    pop rdi
    .cfi_adjust_cfa_offset -8
    jmp rax
    .cfi_endproc
.endm

.pushsection .text.stowaway_unwinder,"ax",@progbits
stowaway_unwind 0, _Unwind_Backtrace
stowaway_unwind 1, _Unwind_DeleteException
stowaway_unwind 2, _Unwind_GetDataRelBase
stowaway_unwind 3, _Unwind_GetIP
stowaway_unwind 4, _Unwind_GetIPInfo
stowaway_unwind 5, _Unwind_GetLanguageSpecificData
stowaway_unwind 6, _Unwind_GetRegionStart
stowaway_unwind 7, _Unwind_GetTextRelBase
stowaway_unwind 8, _Unwind_RaiseException
stowaway_unwind 9, _Unwind_Resume
stowaway_unwind 10, _Unwind_SetGR
stowaway_unwind 11, _Unwind_SetIP
.popsection
