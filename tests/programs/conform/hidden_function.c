/* SPDX-License-Identifier: GPL-2.0-only */
/* A function without a symbol, without an FDE, behind bytes that no decoder walks through. */
#include "conform.h"

__asm__(
	".text\n"
	"	jmp 1f\n"
	"	.byte 0x48, 0xb8, 0x0f\n" /* the beginning of a long instruction */
	"1:	ret\n"
	"	.byte 0xe9, 0xff\n"
	".Lhidden:\n"
	"	mov %rdi, %rax\n	mov %rsi, %rdi\n	mov %rdx, %rsi\n	mov %rcx, %rdx\n"
	"	mov %r8, %r10\n	mov %r9, %r8\n	mov 8(%rsp), %r9\n"
	"	syscall\n"
	"	ret\n"
	".data\n"
	"	.globl hidden_address\n"
	"hidden_address: .quad .Lhidden\n"
	".text\n");
extern door *hidden_address;

static int check(void)
{
	SEEN(hidden_address);
	return 0;
}
