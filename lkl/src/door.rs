// SPDX-License-Identifier: GPL-2.0-only
//! The switch to a task's kernel stack, and back.

// stowaway_lkl_door(waiter, nr, args, want_fd, shared)
//   calls shared->call(waiter, nr, args, want_fd) on the stack that ends at waiter->stack_top
//   out   rax as it returned, or as the kernel left for the host (lkl_exit, idle)
//   stack the callee-saved registers, in the order of the kernel's lkl_ctx_switch(): by way of shared->host_sp the kernel
//         may come back here without returning. rbp holds the caller's stack meanwhile.
std::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".globl stowaway_lkl_door",
    ".hidden stowaway_lkl_door",
    ".type stowaway_lkl_door,@function",
    "stowaway_lkl_door:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rbx",
    ".cfi_offset rbx, -24",
    "push r12",
    ".cfi_offset r12, -32",
    "push r13",
    ".cfi_offset r13, -40",
    "push r14",
    ".cfi_offset r14, -48",
    "push r15",
    ".cfi_offset r15, -56",
    "mov [r8 + {host_sp}], rsp",
    "mov rsp, [rdi + {stack_top}]",
    "call [r8 + {call}]",
    "lea rsp, [rbp - 40]",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".size stowaway_lkl_door, . - stowaway_lkl_door",
    host_sp = const crate::cpu::HOST_SP,
    call = const crate::cpu::CALL,
    stack_top = const crate::cpu::STACK_TOP,
);

extern "C" {
    /// Serves a call on the stack of `waiter`, which is the kernel's current thread. The CPU is held.
    #[link_name = "stowaway_lkl_door"]
    pub(crate) fn door(
        waiter: *mut (),
        nr: i64,
        args: *const [usize; 6],
        want_fd: i32,
        shared: *const (),
    ) -> isize;
}
