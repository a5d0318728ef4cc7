// SPDX-License-Identifier: GPL-2.0-only
//
// isize stowaway_lkl_switch(waiter, nr, args, want_fd, shared): the switch to a task's kernel stack, and back.
//
// Contract  Calls shared->call(waiter, nr, args, want_fd), which is lkl_call(), on the stack that ends at
//           waiter->stack_top. The caller holds the CPU, and the waiter's task is the kernel's current one.
// In        rdi waiter, rsi nr, rdx args, ecx want_fd, r8 shared
// Out       rax as lkl_call() returned it, or as the kernel left for the host by lkl_exit() or by idle
// Clobbers  what a function of the C ABI may
// Stack     rbp, rbx, r12-r15 on the caller's stack, in the order of the kernel's lkl_ctx_switch() (kernel/switch.S):
//           by way of shared->host_sp the kernel may come back here without returning. rbp keeps the caller's stack.
// Limits    Vector registers are not saved: the kernel touches none.

.text
.p2align 4
.globl stowaway_lkl_switch
.hidden stowaway_lkl_switch
.type stowaway_lkl_switch, @function
stowaway_lkl_switch:
    .cfi_startproc
    push rbp
    .cfi_def_cfa_offset 16
    .cfi_offset rbp, -16
    mov rbp, rsp
    .cfi_def_cfa_register rbp
    push rbx
    .cfi_offset rbx, -24
    push r12
    .cfi_offset r12, -32
    push r13
    .cfi_offset r13, -40
    push r14
    .cfi_offset r14, -48
    push r15
    .cfi_offset r15, -56
    mov [r8 + {host_sp}], rsp
    mov rsp, [rdi + {stack_top}]
    call [r8 + {call}]
    lea rsp, [rbp - 40]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    .cfi_def_cfa rsp, 8
    ret
    .cfi_endproc
.size stowaway_lkl_switch, . - stowaway_lkl_switch
