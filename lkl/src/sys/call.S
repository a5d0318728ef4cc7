// SPDX-License-Identifier: GPL-2.0-only
//
// isize stowaway_lkl_plain_syscall(nr, a, b, c, d, e, f): one system call.
//
// Contract  A RawSyscall (call.rs): System V arguments become those of `syscall`.
// In        rdi number; rsi, rdx, rcx, r8, r9, [rsp + 8] arguments
// Out       rax result, or -errno
// Clobbers  rcx and r11 (by `syscall`), rdi, rsi, rdx, r8, r9, r10
// Stack     No frame: reads its last argument and the return address, writes nothing.
//           A `clone` with a new stack returns in the child to the address at the top of that stack.
// Limits    Only where a `syscall` instruction of this library does not trap: tests, benchmarks.

.text
.p2align 4
.globl stowaway_lkl_plain_syscall
.hidden stowaway_lkl_plain_syscall
.type stowaway_lkl_plain_syscall, @function
stowaway_lkl_plain_syscall:
    .cfi_startproc
    mov rax, rdi
    mov rdi, rsi
    mov rsi, rdx
    mov rdx, rcx
    mov r10, r8
    mov r8, r9
    mov r9, [rsp + 8]
    syscall
    ret
    .cfi_endproc
.size stowaway_lkl_plain_syscall, . - stowaway_lkl_plain_syscall
