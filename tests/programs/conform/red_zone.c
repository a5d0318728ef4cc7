/* SPDX-License-Identifier: GPL-2.0-only */
/* A leaf function keeps what it has below the stack pointer, the first time and later. */
#include "conform.h"

#define LEAF(name, before) __asm__( \
	".text\n	.globl " #name "\n	.type " #name ", @function\n" #name ":\n	.cfi_startproc\n" \
	"	mov %rdi, %rax\n	mov %rsi, %rdi\n	mov %rdx, %rsi\n	mov %rcx, %rdx\n	mov %r8, %r10\n" \
	"	mov $0x5a5a1234, %r9d\n" \
	"	.set i, 1\n	.rept 16\n	mov %r9, -8*i(%rsp)\n	add $0x01010101, %r9d\n	.set i, i + 1\n	.endr\n" \
	before \
	"	syscall\n" \
	"	mov $0x5a5a1234, %r9d\n" \
	"	.set i, 1\n	.rept 16\n	cmp %r9, -8*i(%rsp)\n	jne 9f\n	add $0x01010101, %r9d\n	.set i, i + 1\n	.endr\n" \
	"	ret\n" \
	"9:	mov $-4711, %rax\n	ret\n	.cfi_endproc\n	.size " #name ", . - " #name "\n"); \
	long name(long nr, long a, long b, long c, long d)

LEAF(leaf_plain, "");
LEAF(leaf_long, "	.byte 0x0f, 0x1f, 0x44, 0, 0\n");
LEAF(leaf_touching, "	mov %r8, %r8\n	mov -8(%rsp), %r11\n");

static int check(void)
{
	long (*leaves[])(long, long, long, long, long) = { leaf_plain, leaf_long, leaf_touching };
	char text[16];
	int fd = open(HELLO, O_RDONLY);

	CHECK(fd >= 0);
	for (int round = 0; round < 200; round++)
		for (int i = 0; i < 3; i++) {
			CHECK(leaves[i](SYS_getppid, 0, 0, 0, 0) == getppid());
			CHECK(leaves[i](SYS_pread64, fd, (long)text, 5, 0) == 5);
			CHECK(leaves[i](SYS_close, -1, 0, 0, 0) == -EBADF);
		}
	return 0;
}
