// SPDX-License-Identifier: GPL-2.0-only
//! The switch to a stack that is deep enough for kernel code, and back.

// stowaway_lkl_door(stack_top, function, c, nr, args, want_fd)
//   in    rdi = stack top (16-aligned), rsi = function, rdx, rcx, r8, r9 = its four arguments
//   out   rax as the function returned it
//   stack rbp is kept on the caller's stack and holds its place meanwhile; nothing else is saved,
//         the function keeps the callee-saved registers
// stowaway_lkl_door6(stack_top, function, args): the same with six arguments from memory.
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
    "mov rsp, rdi",
    "mov rax, rsi",
    "mov rdi, rdx",
    "mov rsi, rcx",
    "mov rdx, r8",
    "mov ecx, r9d",
    "call rax",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".size stowaway_lkl_door, . - stowaway_lkl_door",
    ".p2align 4",
    ".globl stowaway_lkl_door6",
    ".hidden stowaway_lkl_door6",
    ".type stowaway_lkl_door6,@function",
    "stowaway_lkl_door6:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov rsp, rdi",
    "mov rax, rsi",
    "mov r11, rdx",
    "mov rdi, [r11]",
    "mov rsi, [r11 + 8]",
    "mov rdx, [r11 + 16]",
    "mov rcx, [r11 + 24]",
    "mov r8, [r11 + 32]",
    "mov r9, [r11 + 40]",
    "call rax",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".size stowaway_lkl_door6, . - stowaway_lkl_door6",
);

extern "C" {
    /// Calls `function(c, nr, args, want_fd)` on the stack that ends at `stack_top`.
    #[link_name = "stowaway_lkl_door"]
    pub(crate) fn door(
        stack_top: usize,
        function: usize,
        c: usize,
        nr: i64,
        args: *const [usize; 6],
        want_fd: i32,
    ) -> isize;

    /// Calls `function(args[0], ..., args[5])` on the stack that ends at `stack_top`.
    #[link_name = "stowaway_lkl_door6"]
    pub(crate) fn door6(stack_top: usize, function: usize, args: *const [usize; 6]) -> isize;
}
