// SPDX-License-Identifier: GPL-2.0-only
// C's copies, fills and comparisons under C's names, hidden (sys/memory.rs says why they are our own).
//
// Contract: those of C11 7.24; memcpy may be given overlapping ranges, as memmove; C calling convention, direction flag
// clear.
// Clobbers: rax, rcx, rdx, rsi, rdi, r8-r10, xmm0, xmm1, flags.
// Stack: none; every function is a leaf.
// Limits: no vector register but xmm, because the entry saves no more (trampoline, Vectors::Sse).

.pushsection .text.stowaway_memory,"ax",@progbits

// void *memcpy(void *to /*rdi*/, const void *from /*rsi*/, size_t n /*rdx*/), and memmove.
.hidden memcpy
.globl memcpy
.type memcpy,@function
.hidden memmove
.globl memmove
.type memmove,@function
memcpy:
memmove:
    .cfi_startproc
    mov rax, rdi
    cmp rdx, 16
    jb .Lcopy_under_16
    cmp rdx, 32
    ja .Lcopy_over_32
    // Both ends are read before anything is written.
    movups xmm0, [rsi]
    movups xmm1, [rsi + rdx - 16]
    movups [rdi], xmm0
    movups [rdi + rdx - 16], xmm1
    ret
.Lcopy_over_32:
    mov rcx, rdi
    sub rcx, rsi
    cmp rcx, rdx
    jb .Lcopy_backwards // the target begins inside the source
    mov rcx, rdx
    rep movsb
    ret
.Lcopy_backwards:
    movups xmm1, [rsi] // the head, before it is overwritten
.Lcopy_next_16_from_end:
    movups xmm0, [rsi + rdx - 16]
    movups [rdi + rdx - 16], xmm0
    sub rdx, 16
    cmp rdx, 16
    ja .Lcopy_next_16_from_end
    movups [rdi], xmm1
    ret
.Lcopy_under_16:
    cmp edx, 8
    jb .Lcopy_under_8
    mov rcx, [rsi]
    mov r8, [rsi + rdx - 8]
    mov [rdi], rcx
    mov [rdi + rdx - 8], r8
    ret
.Lcopy_under_8:
    cmp edx, 4
    jb .Lcopy_under_4
    mov ecx, [rsi]
    mov r8d, [rsi + rdx - 4]
    mov [rdi], ecx
    mov [rdi + rdx - 4], r8d
    ret
.Lcopy_under_4:
    test edx, edx
    jz .Lcopy_done
    // Up to three bytes: first, middle and last, which may be one byte.
    movzx ecx, byte ptr [rsi]
    movzx r8d, byte ptr [rsi + rdx - 1]
    mov r10d, edx
    shr r10d, 1
    movzx r9d, byte ptr [rsi + r10]
    mov [rdi], cl
    mov [rdi + r10], r9b
    mov [rdi + rdx - 1], r8b
.Lcopy_done:
    ret
    .cfi_endproc

// void *memset(void *to /*rdi*/, int byte /*esi*/, size_t n /*rdx*/)
.hidden memset
.globl memset
.type memset,@function
memset:
    .cfi_startproc
    mov r8, rdi
    mov eax, esi
    mov rcx, rdx
    rep stosb
    mov rax, r8
    ret
    .cfi_endproc

// int memcmp(const void *a /*rdi*/, const void *b /*rsi*/, size_t n /*rdx*/), and bcmp.
.hidden memcmp
.globl memcmp
.type memcmp,@function
.hidden bcmp
.globl bcmp
.type bcmp,@function
memcmp:
bcmp:
    .cfi_startproc
    xor ecx, ecx
.Lcompare_next_8:
    lea r8, [rcx + 8]
    cmp r8, rdx
    ja .Lcompare_next_byte
    mov rax, [rdi + rcx]
    cmp rax, [rsi + rcx]
    jne .Lcompare_next_byte
    mov rcx, r8
    jmp .Lcompare_next_8
.Lcompare_next_byte:
    cmp rcx, rdx
    jae .Lcompare_equal
    movzx eax, byte ptr [rdi + rcx]
    movzx r8d, byte ptr [rsi + rcx]
    inc rcx
    sub eax, r8d
    jz .Lcompare_next_byte
    ret
.Lcompare_equal:
    xor eax, eax
    ret
    .cfi_endproc

// size_t strlen(const char *text /*rdi*/)
.hidden strlen
.globl strlen
.type strlen,@function
strlen:
    .cfi_startproc
    xor eax, eax
.Llength_next_byte:
    cmp byte ptr [rdi + rax], 0
    je .Llength_done
    inc rax
    jmp .Llength_next_byte
.Llength_done:
    ret
    .cfi_endproc

.popsection
