// SPDX-License-Identifier: GPL-2.0-only
//
// u32 stowaway_uintr_try(void): executes TESTUI. 1: it is a legal instruction.
//
// Contract  probe.rs installs a handler of SIGILL before. On the fault at stowaway_uintr_testui, that handler makes the
//           thread go on at stowaway_uintr_illegal.
// In        nothing
// Out       eax: 1 the instruction was executed, 0 it was illegal
// Clobbers  rax, CF
// Stack     no frame
// Limits    one thread at a time, SIGILL not blocked
//
// stowaway_uintr_restorer: where that handler returns to (SA_RESTORER). Its own `syscall`: not where that traps.

.text
.p2align 4
.globl stowaway_uintr_try
.hidden stowaway_uintr_try
.type stowaway_uintr_try, @function
stowaway_uintr_try:
    .cfi_startproc
    mov eax, 1
.globl stowaway_uintr_testui
.hidden stowaway_uintr_testui
stowaway_uintr_testui:
    testui
    ret
.globl stowaway_uintr_illegal
.hidden stowaway_uintr_illegal
stowaway_uintr_illegal:
    xor eax, eax
    ret
    .cfi_endproc
.size stowaway_uintr_try, . - stowaway_uintr_try

.globl stowaway_uintr_restorer
.hidden stowaway_uintr_restorer
stowaway_uintr_restorer:
    mov eax, 15                 // rt_sigreturn
    syscall
