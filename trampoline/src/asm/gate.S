// SPDX-License-Identifier: GPL-2.0-only
//
// The gate: the only `syscall` instructions that Syscall User Dispatch lets through (gate.rs).
//
// Everything between stowaway_gate_start and stowaway_gate_end fills whole pages. Their address range is what
// a thread is armed with. No other code may stand in these pages: what can jump here can bypass the dispatch.
//
// Limits: a call made here is never dispatched back. No function here touches TLS, GS or a vector register.
// stowaway_gate_clone sets GS of the child. No function writes to the stack before its `syscall`, but for
// stowaway_gate_int80 and stowaway_gate_clone, which save registers of the C ABI there.
//
// Each function states: in, out, clobbers, stack. The kernel itself clobbers rax, rcx and r11.

    .pushsection .text.stowaway_gate,"ax",@progbits
    .p2align 12
    .hidden stowaway_gate_start
    .globl stowaway_gate_start
stowaway_gate_start:

    // isize stowaway_gate(i64 nr, usize a, usize b, usize c, usize d, usize e, usize f)
    // Makes the system call `nr`.
    // In: C ABI; the seventh argument on the stack. Out: rax, the kernel's result.
    // Clobbers: rax, rcx, r11, the argument registers.
    // Stack: read only, and only before the call. A clone onto a new stack therefore returns to whatever
    // address lies on top of that stack.
    .hidden stowaway_gate
    .globl stowaway_gate
    .type stowaway_gate,@function
stowaway_gate:
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

    // isize stowaway_gate_unless(const u8 *stop /*rdi*/, i64 nr /*rsi*/, const usize args[6] /*rdx*/)
    // Makes the system call `nr`, unless *stop is not 0; then the call is not made.
    // A signal handler may set *stop while the thread stands between _look and _call, or at a call that is
    // about to be restarted. The handler then moves the thread to _stopped (`stop_if_waiting` in gate.rs), so
    // that no wait begins after *stop was set.
    // In: C ABI. Out: rax, the kernel's result or STOPPED. Clobbers: rax, rcx, r11, the argument registers.
    // Stack: none.
    .hidden stowaway_gate_unless
    .globl stowaway_gate_unless
    .type stowaway_gate_unless,@function
stowaway_gate_unless:
    .cfi_startproc
    mov r11, rdi
    mov rax, rsi
    mov rdi, [rdx]
    mov rsi, [rdx + 8]
    mov r10, [rdx + 24]
    mov r8, [rdx + 32]
    mov r9, [rdx + 40]
    mov rdx, [rdx + 16]
    .hidden stowaway_gate_unless_look
    .globl stowaway_gate_unless_look
stowaway_gate_unless_look:
    cmp byte ptr [r11], 0
    jne stowaway_gate_unless_stopped
    .hidden stowaway_gate_unless_call
    .globl stowaway_gate_unless_call
stowaway_gate_unless_call:
    syscall
    ret
    .hidden stowaway_gate_unless_stopped
    .globl stowaway_gate_unless_stopped
stowaway_gate_unless_stopped:
    mov rax, {stopped}
    ret
    .cfi_endproc

    // noreturn stowaway_gate_restorer: the sa_restorer of the handlers that this crate installs.
    // In: rsp points at the ucontext. Out: all registers from there.
    // Unwinders and debuggers know a signal frame by these very bytes, a 64-bit mov and a syscall (libgcc,
    // x86_64_fallback_frame_state). They look for unwinding tables one byte earlier, where must be none: hence
    // the nop, and no CFI.
    nop
    .hidden stowaway_gate_restorer
    .globl stowaway_gate_restorer
stowaway_gate_restorer:
    mov rax, {rt_sigreturn}
    syscall
    ud2

    // isize stowaway_gate_int80(const u32 regs[7] /*rdi*/)
    // Makes a 32-bit system call with eax, ebx, ecx, edx, esi, edi, ebp from `regs`, in this order.
    // In: C ABI. Out: rax, the result, sign-extended. Clobbers: what the C ABI lets a function clobber.
    // Stack: 16 bytes. No CFI: nothing unwinds from here, the caller runs in the SIGSYS handler.
    .hidden stowaway_gate_int80
    .globl stowaway_gate_int80
stowaway_gate_int80:
    push rbx
    push rbp
    mov r8, rdi
    mov eax, [r8]
    mov ebx, [r8 + 4]
    mov ecx, [r8 + 8]
    mov edx, [r8 + 12]
    mov esi, [r8 + 16]
    mov edi, [r8 + 20]
    mov ebp, [r8 + 24]
    int 0x80
    pop rbp
    pop rbx
    cdqe
    ret

    // stowaway_gate_forward: the entry's way to the host, jumped to with the caller's registers.
    // In: [rsp] the return into the caller's stub, [rsp + 8] the caller's rip; rax and the argument registers
    // as at the caller's `syscall`. Out: as the kernel leaves them; returns to the stub. Stack: none.
    // The CFA is the caller's stack pointer, past the stub, as in entry.S.
    .hidden stowaway_gate_forward
    .globl stowaway_gate_forward
    .type stowaway_gate_forward,@function
stowaway_gate_forward:
    .cfi_startproc
    .cfi_def_cfa rsp, 16 + {red_zone}
    .cfi_offset rip, -8 - {red_zone}
    syscall
    .hidden stowaway_gate_forwarded
    .globl stowaway_gate_forwarded
stowaway_gate_forwarded:
    ret
    .cfi_endproc

    // isize stowaway_gate_clone(i64 nr /*rdi*/, const usize args[6] /*rsi*/, void *frame /*rdx*/,
    //                           void *block /*rcx*/, started /*r8*/)
    // Makes clone(2) or clone3(2) onto a new stack. The parent returns to its caller.
    // The child sets its GS base to `block`, if that is not null. Then the child calls
    // noreturn started(block, frame) with rsp = frame: memory on a stack of this crate that is the child's own,
    // or, if `block` is null, the child's copy of its parent's.
    // In: C ABI; `frame` aligned to 16. Out, parent: rax, the kernel's result.
    // Clobbers, parent: what the C ABI lets a function clobber. Stack, parent: 24 bytes.
    .hidden stowaway_gate_clone
    .globl stowaway_gate_clone
    .type stowaway_gate_clone,@function
stowaway_gate_clone:
    .cfi_startproc
    push rbx
    .cfi_adjust_cfa_offset 8
    push r12
    .cfi_adjust_cfa_offset 8
    push r13
    .cfi_adjust_cfa_offset 8
    mov rax, rdi
    mov rbx, rdx
    mov r12, rcx
    mov r13, r8
    mov rdi, [rsi]
    mov rdx, [rsi + 16]
    mov r10, [rsi + 24]
    mov r8, [rsi + 32]
    mov r9, [rsi + 40]
    mov rsi, [rsi + 8]
    syscall
    test rax, rax
    jz .Lgate_clone_child
    pop r13
    .cfi_adjust_cfa_offset -8
    pop r12
    .cfi_adjust_cfa_offset -8
    pop rbx
    .cfi_adjust_cfa_offset -8
    ret
    // The child has no caller.
.Lgate_clone_child:
    .cfi_undefined rip
    mov rsp, rbx
    test r12, r12
    jz .Lgate_clone_started
    mov eax, {arch_prctl}
    mov edi, {arch_set_gs}
    mov rsi, r12
    syscall
.Lgate_clone_started:
    mov rdi, r12
    mov rsi, rbx
    call r13
    ud2
    .cfi_endproc

    // noreturn stowaway_gate_exit(usize base /*rdi*/, usize len /*rsi*/, usize status /*rdx*/)
    // Unmaps the stack that it was called on, and ends the thread.
    // In: C ABI; all signals of the thread are blocked. Stack: none, from the first `syscall` on.
    .hidden stowaway_gate_exit
    .globl stowaway_gate_exit
stowaway_gate_exit:
    mov ebx, edx
    mov eax, {munmap}
    syscall
    mov edi, ebx
    mov eax, {exit}
    syscall
    ud2
    .p2align 12
    .hidden stowaway_gate_end
    .globl stowaway_gate_end
stowaway_gate_end:
    .popsection
