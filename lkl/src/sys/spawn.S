// SPDX-License-Identifier: GPL-2.0-only
//
// stowaway_lkl_spawn_start: the first instructions of a process that shares its maker's memory.
//
// Contract  The child of a `clone` returns here with its new stack (spawn.rs lays that stack out).
// In        [rsp] function, [rsp + 8] argument; rsp + 16 is a multiple of 16
// Out       Never returns: the function ends the process, or executes a program.
// Clobbers  rax, rdi, rbp
// Stack     Pops both words. rbp is 0 and the return address undefined: unwinders stop here.
// Limits    The process has the TLS of its maker, which waits, and uses none.

.text
.p2align 4
.globl stowaway_lkl_spawn_start
.hidden stowaway_lkl_spawn_start
.type stowaway_lkl_spawn_start, @function
stowaway_lkl_spawn_start:
    .cfi_startproc
    .cfi_undefined rip
    pop rax
    pop rdi
    xor ebp, ebp
    call rax
    ud2
    .cfi_endproc
.size stowaway_lkl_spawn_start, . - stowaway_lkl_spawn_start
