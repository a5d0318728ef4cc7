// SPDX-License-Identifier: GPL-2.0-only
//
// Diverting a thread: the handler of user interrupts, and the landing (install/divert.rs).
//
// Limits: the handler runs on the alternate UINTR stack with whatever flags and vectors the application has. It
// uses rax, rcx, GS and statics behind rip; it makes no call and touches no vector register. UIRET sets UIF again.
// The landing keeps every register, the flags, the red zone and xmm0-15: its function uses nothing newer than
// SSE, as with Vectors::Sse in entry.S.
// CFI: at every instruction but the landing's first five, until the copy of the place is on the stack.

    .pushsection .text.stowaway_divert,"ax",@progbits
    // stowaway_user_interrupt: the handler of user interrupts.
    // In: [rsp] vector, rip, rflags, rsp; UIF 0; all else the application's.
    // Out: UIRET to where the thread was, or to the landing. Stack: 16 bytes of the alternate UINTR stack.
    // After two pushes the words are at [rsp + 16] vector, + 24 rip, + 32 rflags, + 40 rsp.
    .hidden stowaway_user_interrupt
    .globl stowaway_user_interrupt
    .type stowaway_user_interrupt,@function
stowaway_user_interrupt:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa rsp, 32
    .cfi_offset rip, -24
    endbr64
    push rax
    .cfi_adjust_cfa_offset 8
    push rcx
    .cfi_adjust_cfa_offset 8
    mov rax, gs:[0]
    mov rcx, [rax + {guard}]
    test rcx, rcx
    jz .Ldivert_refuse
    cmp dword ptr [rcx], 0
    jne .Ldivert_refuse
    cmp [rax + {floor}], rax
    jne .Ldivert_refuse
    mov rcx, rax
    sub rcx, [rsp + 40]
    cmp rcx, {stack_bytes}
    jb .Ldivert_refuse
    .irp i,0,16
    mov rcx, [rsp + 24]
    sub rcx, [rip + {ours} + \i]
    cmp rcx, [rip + {ours} + \i + 8]
    jb .Ldivert_refuse
    mov rcx, [rsp + 40]
    sub rcx, [rip + {ours} + \i]
    cmp rcx, [rip + {ours} + \i + 8]
    jb .Ldivert_refuse
    .endr
    mov rcx, [rsp + 24]
    mov [rax + {rip}], rcx
    mov rcx, [rsp + 32]
    mov [rax + {rflags}], rcx
    mov rcx, [rsp + 40]
    mov [rax + {rsp}], rcx
    // As in the frame of a call (end_of_callers_stack in thread.rs).
    lea rcx, [rcx - {caller_words_depth}]
    mov [rax - {frame_bytes} + {caller_words}], rcx
    lea rcx, [rip + stowaway_diverted]
    mov [rsp + 24], rcx
    and qword ptr [rsp + 32], {usual}
    lea rcx, [rax - {frame_bytes}]
    mov [rsp + 40], rcx
    lock inc qword ptr [rip + {diverted}]
    jmp .Ldivert_return
.Ldivert_refuse:
    lock inc qword ptr [rip + {refused}]
.Ldivert_return:
    pop rcx
    .cfi_adjust_cfa_offset -8
    pop rax
    .cfi_adjust_cfa_offset -8
    add rsp, 8
    .cfi_def_cfa rsp, 24
    uiret
    .cfi_endproc

    // stowaway_diverted: the landing. Calls the work, and goes on where the thread was.
    // In: rsp a frame's place below the top of the thread's own stack; rip, rflags and rsp of the application in the block; all other
    // registers the application's. Out: IRETQ to the application. Stack: 160 bytes, 256 for xmm, alignment.
    .hidden stowaway_diverted
    .globl stowaway_diverted
    .type stowaway_diverted,@function
stowaway_diverted:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_undefined rip    // until its copy is on the stack
    push {ss}
    push qword ptr gs:[{rsp}]
    push qword ptr gs:[{rflags}]
    push {cs}
    push qword ptr gs:[{rip}]
    .cfi_def_cfa rsp, 40
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    .irp r,rax,rcx,rdx,rbx,rbp,rsi,rdi,r8,r9,r10,r11,r12,r13,r14,r15
    push \r
    .cfi_adjust_cfa_offset 8
    .endr
    .cfi_offset rbx, -72
    .cfi_offset rbp, -80
    .cfi_offset r12, -136
    .cfi_offset r13, -144
    .cfi_offset r14, -152
    .cfi_offset r15, -160
    mov rbp, rsp
    .cfi_def_cfa_register rbp
    sub rsp, 256
    and rsp, -64
    .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps [rsp + 16*\i], xmm\i
    .endr
    call qword ptr [rip + {work}]
.Ldivert_worked:
    cmp qword ptr gs:[{at_end}], 0
    // What a signal handler sets by `at_end` is seen if it is set up to here.
    .hidden stowaway_diverted_looked
    .globl stowaway_diverted_looked
stowaway_diverted_looked:
    jne .Ldivert_run_at_end
    .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps xmm\i, [rsp + 16*\i]
    .endr
    mov rsp, rbp
    .cfi_def_cfa_register rsp
    .irp r,r15,r14,r13,r12,r11,r10,r9,r8,rdi,rsi,rbp,rbx,rdx,rcx,rax
    pop \r
    .cfi_adjust_cfa_offset -8
    .endr
    // One instruction sets rip, flags and rsp, and writes no word to the application's stack.
    iretq
    // Rare: what `at_end` set is called once. It may leave by unwinding.
    .cfi_def_cfa rbp, 160
.Ldivert_run_at_end:
    xor eax, eax
    xchg rax, gs:[{at_end}]
    call rax
    jmp .Ldivert_worked
    .cfi_endproc
    .hidden stowaway_diverted_end
    .globl stowaway_diverted_end
stowaway_diverted_end:
    .popsection
