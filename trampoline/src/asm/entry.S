// SPDX-License-Identifier: GPL-2.0-only
//
// The entry: from a stub to the host, or to the handler and back, with every register as it was (entry.rs).
//
// In (stowaway_entry): [rsp] the return into the stub, [rsp + 8] the address behind the `syscall` instruction,
//     all registers as at that instruction but rsp, which the stub has lowered by the red zone and two words.
// Out: rax the result, r11 the flags, rcx anything; all else as it was.
// Stack: at most 256 bytes of the application's, red zone included: the red zone (128), the stub's two words, and
//     two words of the entry's. The rest happens on the thread's own stack (thread.rs).
// CFI: at every instruction. For unwinders the caller is the code behind the `syscall` instruction, past the
//     stub: they could find no tables of the stub.
//
// Limits:
// - rsp never holds anything but a valid stack: a signal may come at any instruction.
// - No instruction changes vector registers but the explicit saves. With Vectors::Sse the handler promises to
//   use nothing newer than SSE. Legacy SSE instructions leave the upper parts of ymm and zmm, the registers
//   above 15 and the masks alone (Intel SDM vol. 1, 14.1.1), so saving xmm0-15 saves everything.
// - The arithmetic flags live in ax (lahf, seto), because popfq costs more than all the rest.
// - Only rax, rcx and r11 are free before the caller's registers are in the frame.

// A register that the frame at rbp holds at `offset`, below 64: DW_CFA_expression, DW_OP_breg6.
.macro entry_cfi_saved number, offset
    .cfi_escape 0x10, \number, 2, 0x76, \offset
.endm

// The CFA by the frame at rbp: the caller's stack pointer is `caller_words`'s value, past the entry's and the stub's two
// words each and the red zone. DW_CFA_def_cfa_expression: breg6 caller_words, deref, plus_uconst 32 + red zone. The
// two numbers take two bytes of LEB128 each.
.macro entry_cfi_cfa
    .cfi_escape 0x0f, 7, 0x76, ({caller_words} & 0x7f) + 0x80, {caller_words} >> 7, 0x06, 0x23, ((32 + {red_zone}) & 0x7f) + 0x80, (32 + {red_zone}) >> 7
.endm

    .pushsection .text.stowaway_entry,"ax",@progbits

    // stowaway_redirected: the stub of a call that came by SIGSYS; the handler sends the thread here.
    // In: the caller's registers, but rcx the rip to go on at. Out: as stowaway_entry. Stack: as any stub.
    .hidden stowaway_redirected
    .globl stowaway_redirected
    .type stowaway_redirected,@function
stowaway_redirected:
    .cfi_startproc simple
    // The caller's rip is where it goes on, not behind a call: unwinders must not look one byte earlier.
    .cfi_signal_frame
    .cfi_def_cfa rsp, 0
    .cfi_register rip, rcx
    lea rsp, [rsp - {red_zone}]
    .cfi_def_cfa rsp, {red_zone}
    push rcx
    .cfi_def_cfa rsp, {red_zone} + 8
    .cfi_offset rip, -{red_zone} - 8
    call stowaway_entry_redirected
    .hidden stowaway_redirected_back
    .globl stowaway_redirected_back
stowaway_redirected_back:
    pop rcx
    .cfi_def_cfa rsp, {red_zone}
    .cfi_register rip, rcx
    lea rsp, [rsp + {red_zone_wide}]    // 8 bytes, as in every stub (Frame::resume)
    .cfi_def_cfa rsp, 0
    jmp rcx
    .cfi_endproc

    // stowaway_redirected32: the stub of a 32-bit call (int 0x80) that came by SIGSYS. Such a call changes no register but
    // rax, so what the entry clobbers is on the stack, and the way back too.
    // In: the caller's registers, but rsp: its rcx, its r11, where it goes on; the red zone above.
    // Out: rax the result, all else as it was, the flags too. Unwinders find the caller's frame 24 bytes off.
    .hidden stowaway_redirected32
    .globl stowaway_redirected32
    .type stowaway_redirected32,@function
stowaway_redirected32:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa rsp, 24 + {red_zone}
    .cfi_offset rip, -{red_zone} - 8
    push qword ptr [rsp + 16]
    .cfi_adjust_cfa_offset 8
    call stowaway_entry_redirected32
    lea rsp, [rsp + 8]
    .cfi_adjust_cfa_offset -8
    pop rcx
    .cfi_adjust_cfa_offset -8
    pop r11
    .cfi_adjust_cfa_offset -8
    ret {red_zone}
    .cfi_endproc

    // stowaway_bounce: takes the stub's place for a call that is to be dispatched after all, to a handler of the
    // application (Frame::dispatch_again). The SIGSYS handler replaces the address of this `syscall` by the
    // caller's.
    // In: the caller's registers, rsp as the stub left it. Out: none, the thread goes on in the signal handler.
    .hidden stowaway_bounce
    .globl stowaway_bounce
stowaway_bounce:
    lea rsp, [rsp + 8 + {red_zone}]
    syscall
    .hidden stowaway_bounced
    .globl stowaway_bounced
stowaway_bounced:
    ud2

    // stowaway_entry_redirected32: called by stowaway_redirected32. In, out: as stowaway_entry.
    .type stowaway_entry_redirected32,@function
stowaway_entry_redirected32:
    .cfi_startproc
    .cfi_def_cfa rsp, 16 + {red_zone}
    .cfi_offset rip, -8 - {red_zone}
    push rax
    .cfi_adjust_cfa_offset 8
    lahf
    seto al
    movzx eax, ax
    or eax, {by_int80}
    jmp stowaway_entry_common
    .cfi_endproc

    // stowaway_entry_redirected: called by stowaway_redirected. In, out: as stowaway_entry.
    // The call came by signal, so the routes were not asked yet: the handler decides.
    .type stowaway_entry_redirected,@function
stowaway_entry_redirected:
    .cfi_startproc
    .cfi_def_cfa rsp, 16 + {red_zone}
    .cfi_offset rip, -8 - {red_zone}
    mov r11, rax
    lahf
    seto al
    cmp r11, {sigreturn}
    je .Lentry_sigreturn
    push r11
    .cfi_adjust_cfa_offset 8
    movzx eax, ax
    or eax, {by_signal}
    jmp stowaway_entry_common
    .cfi_endproc

    // stowaway_entry: called by stubs. The head of this file states its contract.
    .hidden stowaway_entry
    .globl stowaway_entry
    .type stowaway_entry,@function
stowaway_entry:
    .cfi_startproc
    .cfi_def_cfa rsp, 16 + {red_zone}
    .cfi_offset rip, -8 - {red_zone}
    mov r11, rax
    lahf
    seto al
    cmp r11, {routes_len}
    jae .Lentry_to_handler
    lea rcx, [rip + {routes}]
    movzx ecx, byte ptr [rcx + r11]
    test ecx, ecx
    jz .Lentry_to_handler
    cmp ecx, {to_host}
    je .Lentry_to_host
    cmp ecx, {by_descriptor}
    jne .Lentry_by_signal
    mov ecx, edi
    cmp rcx, [rip + {class_count}]
    jae .Lentry_to_host
    add rcx, [rip + {classes}]
    cmp byte ptr [rcx], 0
    jne .Lentry_to_handler
.Lentry_to_host:
    // The host returns to the stub.
    add al, 127
    sahf
    mov rax, r11
    jmp {forward}
.Lentry_by_signal:
    // Of the calls that send a signal, those that send SIGKILL are the handler's.
    cmp ecx, {unless_kill_second}
    mov ecx, esi
    cmovne ecx, edx
    cmp ecx, {sigkill}
    jne .Lentry_to_host
.Lentry_to_handler:
    cmp r11, {sigreturn}
    je .Lentry_sigreturn
    push r11
    .cfi_adjust_cfa_offset 8
    movzx eax, ax
stowaway_entry_common:
    push rax
    .cfi_adjust_cfa_offset 8
    // A thread that nobody gave a block faults here, at address 0: see `on_fault` in install/signals.rs.
    .hidden stowaway_entry_block
    .globl stowaway_entry_block
stowaway_entry_block:
    mov rax, gs:[0]
    mov rcx, rsp
    mov r11, rax
    sub r11, rcx
    cmp r11, {stack_bytes}
    jb .Lentry_nested
    mov r11, gs:[{floor}]
    cmp r11, rax
    jne .Lentry_floor_held
.Lentry_on_stack:
    sub r11, {frame_bytes}
    mov [r11 + {rbp}], rbp
    mov [r11 + {caller_words}], rcx
    mov rbp, r11
    // From here on unwinding goes by rbp.
    entry_cfi_saved 6, {rbp}
    entry_cfi_cfa
    mov rsp, rbp
    mov [rbp + {rbx}], rbx
    entry_cfi_saved 3, {rbx}
    mov [rbp + {r12}], r12
    entry_cfi_saved 12, {r12}
    mov [rbp + {r13}], r13
    entry_cfi_saved 13, {r13}
    mov [rbp + {r14}], r14
    entry_cfi_saved 14, {r14}
    mov [rbp + {r15}], r15
    entry_cfi_saved 15, {r15}
    mov [rbp + {r8}], r8
    mov [rbp + {r9}], r9
    mov [rbp + {r10}], r10
    mov [rbp + {rdx}], rdx
    mov [rbp + {rsi}], rsi
    mov [rbp + {rdi}], rdi
    mov rax, [rcx + 8]
    mov [rbp + {nr}], rax
    mov [rbp + {rax}], rax
    mov rdx, [rcx + 24]
    mov [rbp + {rip}], rdx
    mov [rbp + {rcx}], rdx
    lea rdx, [rcx + 32 + {red_zone}]
    mov [rbp + {rsp}], rdx
    mov eax, [rcx]
    mov edx, eax
    shr edx, 16
    mov [rbp + {entry_kind}], rdx
    // The flags: the arithmetic ones from ax, the others as they are.
    pushfq
    pop rdx
    and rdx, -0x8d6
    movzx ecx, ah
    and ecx, 0xd5
    or rdx, rcx
    movzx ecx, al
    shl ecx, 11
    or rdx, rcx
    mov [rbp + {rflags}], rdx
    mov [rbp + {r11}], rdx
    test edx, {unusual}
    jnz .Lentry_clear_flags
.Lentry_flags_are_clear:
    .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps [rbp + {xmm} + 16*\i], xmm\i
    .endr
    cmp dword ptr [rip + {wide}], 0
    jne .Lentry_save_wide
.Lentry_call_handler:
    mov qword ptr [rbp + {again}], 0
    mov rdi, rbp
    call {handle}
.Lentry_handled:
    cmp qword ptr gs:[{at_end}], 0
    // What a signal handler sets by `at_end` is seen if it is set up to here.
    .hidden stowaway_entry_looked
    .globl stowaway_entry_looked
stowaway_entry_looked:
    jne .Lentry_run_at_end
    cmp qword ptr [rbp + {again}], 0
    jne .Lentry_call_handler
    cmp dword ptr [rip + {wide}], 0
    jne .Lentry_restore_wide
.Lentry_restore:
    .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps xmm\i, [rbp + {xmm} + 16*\i]
    .endr
    mov rcx, [rbp + {caller_words}]
    mov rdx, [rbp + {rdx}]
    mov rsi, [rbp + {rsi}]
    mov rdi, [rbp + {rdi}]
    mov r8, [rbp + {r8}]
    mov r9, [rbp + {r9}]
    mov r10, [rbp + {r10}]
    mov r11, [rbp + {rflags}]
    test r11d, {unusual}
    jnz .Lentry_restore_all_flags
    mov eax, [rcx]
    add al, 127
    sahf
.Lentry_flags_are_restored:
    mov rax, [rbp + {rax}]
    lea rsp, [rcx + 16]
    .cfi_def_cfa rsp, 16 + {red_zone}
    mov rbp, [rbp + {rbp}]
    .cfi_same_value rbp
    .cfi_same_value rbx
    .cfi_same_value r12
    .cfi_same_value r13
    .cfi_same_value r14
    .cfi_same_value r15
    ret

    // Rare: the caller is on the thread's own stack already. The frame goes below it.
    .cfi_def_cfa rsp, 32 + {red_zone}
.Lentry_nested:
    mov r11, rcx
    and r11, -64
    jmp .Lentry_on_stack
    // Rare: the floor is held. It counts if the caller runs on the alternate stack; else its holder is gone.
.Lentry_floor_held:
    push rdx
    .cfi_adjust_cfa_offset 8
    mov rdx, rcx
    sub rdx, gs:[{alternate}]
    cmp rdx, gs:[{alternate_len}]
    pop rdx
    .cfi_adjust_cfa_offset -8
    jb .Lentry_on_stack
    mov gs:[{floor}], rax
    mov r11, rax
    jmp .Lentry_on_stack
    // Rare: direction or alignment check set. Compiled code expects neither.
    entry_cfi_saved 6, {rbp}
    entry_cfi_saved 3, {rbx}
    entry_cfi_saved 12, {r12}
    entry_cfi_saved 13, {r13}
    entry_cfi_saved 14, {r14}
    entry_cfi_saved 15, {r15}
    entry_cfi_cfa
.Lentry_clear_flags:
    push 0x202
    popfq
    jmp .Lentry_flags_are_clear
    // Vectors::All: what the CPU has beyond xmm is saved below the frame.
.Lentry_save_wide:
    sub rsp, {wide_bytes}
    and rsp, -64
    cmp dword ptr [rip + {wide}], 1
    jne .Lentry_save_zmm
    .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqu [rsp + 32*\i], ymm\i
    .endr
    jmp .Lentry_call_handler
.Lentry_save_zmm:
    .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vmovdqu64 [rsp + 64*\i], zmm\i
    .endr
    .irp i,0,1,2,3,4,5,6,7
    kmovq [rsp + 2048 + 8*\i], k\i
    .endr
    jmp .Lentry_call_handler
    // Rare: what `at_end` set is called once.
.Lentry_run_at_end:
    xor eax, eax
    xchg rax, gs:[{at_end}]
    call rax
    jmp .Lentry_handled
.Lentry_restore_wide:
    cmp dword ptr [rip + {wide}], 1
    jne .Lentry_restore_zmm
    .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqu ymm\i, [rsp + 32*\i]
    .endr
    jmp .Lentry_wide_is_restored
.Lentry_restore_zmm:
    .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vmovdqu64 zmm\i, [rsp + 64*\i]
    .endr
    .irp i,0,1,2,3,4,5,6,7
    kmovq k\i, [rsp + 2048 + 8*\i]
    .endr
.Lentry_wide_is_restored:
    mov rsp, rbp
    jmp .Lentry_restore
.Lentry_restore_all_flags:
    push qword ptr [rbp + {rflags}]
    popfq
    jmp .Lentry_flags_are_restored
    // rt_sigreturn goes to the host on the stack that it was called on: frames of ours may be alive on the other.
    // The mask that it restores must not block SIGSYS. The alternate stack that it restores is the one of ours, if the host
    // has that; what the context says is what the application is shown (alternate.rs).
    .cfi_undefined rip
.Lentry_sigreturn:
    lea rsp, [rsp + 16 + {red_zone}]
    and qword ptr [rsp + {sigmask}], {not_sigsys}
    .hidden stowaway_entry_sigreturn_block
    .globl stowaway_entry_sigreturn_block
stowaway_entry_sigreturn_block:
    mov rax, gs:[{signal_stack}]
    test rax, rax
    jz .Lentry_sigreturn_now
    cmp rax, [rsp + 16]
    je .Lentry_sigreturn_now
    mov rcx, [rsp + 16]
    mov gs:[{shown}], rcx
    mov rcx, [rsp + 24]
    mov gs:[{shown} + 8], rcx
    mov rcx, [rsp + 32]
    mov gs:[{shown} + 16], rcx
    mov [rsp + 16], rax
    mov qword ptr [rsp + 24], 0
    mov qword ptr [rsp + 32], {signal_stack_bytes}
.Lentry_sigreturn_now:
    mov eax, {sigreturn}
    jmp {forward}
    .hidden stowaway_entry_end
    .globl stowaway_entry_end
stowaway_entry_end:
    .cfi_endproc

    // noreturn stowaway_resume(Frame *frame /*rdi*/)
    // Goes on with all registers of `frame`, and r11 = rip.
    // In: C ABI; `frame` aligned to 16. Stack: 8 bytes of the current one.
    .hidden stowaway_resume
    .globl stowaway_resume
stowaway_resume:
    .cfi_startproc
    .cfi_undefined rip
    .irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps xmm\i, [rdi + {xmm} + 16*\i]
    .endr
    push qword ptr [rdi + {rflags}]
    popfq
    mov r15, [rdi + {r15}]
    mov r14, [rdi + {r14}]
    mov r13, [rdi + {r13}]
    mov r12, [rdi + {r12}]
    mov rbp, [rdi + {rbp}]
    mov rbx, [rdi + {rbx}]
    mov r10, [rdi + {r10}]
    mov r9, [rdi + {r9}]
    mov r8, [rdi + {r8}]
    mov rax, [rdi + {rax}]
    mov rcx, [rdi + {rcx}]
    mov rdx, [rdi + {rdx}]
    mov rsi, [rdi + {rsi}]
    // No other register is left for the address.
    mov r11, [rdi + {rip}]
    mov rsp, [rdi + {rsp}]
    mov rdi, [rdi + {rdi}]
    jmp r11
    .cfi_endproc
    .popsection

.purgem entry_cfi_saved
.purgem entry_cfi_cfa
