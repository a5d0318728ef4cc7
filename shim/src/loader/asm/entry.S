// SPDX-License-Identifier: GPL-2.0-only
// The two ends of the loader: where the kernel hands over to us, and where we hand over to the program.
//
// stowaway_load: the ELF entry of the library (shim/build.rs), which has no interpreter. In, from the kernel (System V ABI
// x86-64, 3.4.1): rsp at argc. No constructor ran: a program's own are left to its start-up code. Out: never returns. Operands:
// relocate(sp, where the library lies, its dynamic section), extern "C"; begin(sp), extern "C", never returns.
//
// stowaway_load_enter(sp rdi, entry rsi): a program's first instruction, with its registers as the kernel leaves them
// (ELF_PLAT_INIT): all zero, above all rdx, in which the ABI hands a function to atexit. Never returns.
//
// Clobbers: everything. Stack: stowaway_load_enter writes one word into the red zone below sp, where not even a signal
// frame comes.

.pushsection .text.stowaway_load,"ax",@progbits

.hidden __ehdr_start
.hidden _DYNAMIC
.hidden stowaway_load
.globl stowaway_load
.type stowaway_load,@function
stowaway_load:
    .cfi_startproc
    .cfi_undefined rip
    xor ebp, ebp
    mov r12, rsp
    mov rdi, rsp
    lea rsi, [rip + __ehdr_start]
    lea rdx, [rip + _DYNAMIC]
    and rsp, -16
    call {relocate}
    mov rdi, r12
    call {begin}
    ud2
    .cfi_endproc
.size stowaway_load, . - stowaway_load

.hidden stowaway_load_enter
.globl stowaway_load_enter
.type stowaway_load_enter,@function
stowaway_load_enter:
    .cfi_startproc
    .cfi_undefined rip
    mov rsp, rdi
    mov [rsp - 8], rsi
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    pxor xmm\number, xmm\number
    .endr
    xor eax, eax
    xor ebx, ebx
    xor ecx, ecx
    xor edx, edx
    xor esi, esi
    xor edi, edi
    xor ebp, ebp
    .irp number, 8, 9, 10, 11, 12, 13, 14, 15
    xor r\number\()d, r\number\()d
    .endr
    cld
    jmp qword ptr [rsp - 8]
    .cfi_endproc
.size stowaway_load_enter, . - stowaway_load_enter

.popsection
