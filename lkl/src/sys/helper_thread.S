// SPDX-License-Identifier: GPL-2.0-only
//
// stowaway_lkl_helper_start: the first instructions of a helper thread.
//
// Contract  The child of a `clone` returns here with its new stack (helper_thread.rs lays that stack out).
// In        [rsp] address of the thread's Top; rsp + 8 is a multiple of 16
// Out       Never returns: begin() ends the thread.
// Clobbers  rdi, rbp
// Stack     Pops the Top's address. rbp is 0 and the return address undefined: unwinders stop here.
// Limits    The thread has no TLS of its own.

.text
.p2align 4
.globl stowaway_lkl_helper_start
.hidden stowaway_lkl_helper_start
.type stowaway_lkl_helper_start, @function
stowaway_lkl_helper_start:
    .cfi_startproc
    .cfi_undefined rip
    pop rdi
    xor ebp, ebp
    call {begin}
    ud2
    .cfi_endproc
.size stowaway_lkl_helper_start, . - stowaway_lkl_helper_start
