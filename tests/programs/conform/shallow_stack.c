/* SPDX-License-Identifier: GPL-2.0-only */
/* Once a site is known, a call uses little of the caller's stack: at most 512 bytes below the red zone. */
#include "conform.h"

long paint_and_call(long nr, long a, long b, long c, char *low);
__asm__(
	/* paints from `low` to 128 bytes below the stack pointer, and calls */
	".text\n	.globl paint_and_call\n	.type paint_and_call, @function\npaint_and_call:\n	.cfi_startproc\n"
	"	mov %r8, %r9\n"
	"	lea -128(%rsp), %r10\n"
	"1:	movq $-1, (%r9)\n	add $8, %r9\n	cmp %r10, %r9\n	jb 1b\n"
	"	mov %rdi, %rax\n	mov %rsi, %rdi\n	mov %rdx, %rsi\n	mov %rcx, %rdx\n	xor %r10d, %r10d\n"
	"	syscall\n	ret\n	.cfi_endproc\n	.size paint_and_call, . - paint_and_call\n");

static long used_by(long nr, long a, long b, long c)
{
	char *low = (char *)((uintptr_t)__builtin_frame_address(0) & ~15UL) - 16384;

	CHECK(paint_and_call(nr, a, b, c, low) >= 0);
	char *p = low;
	while (*(uint64_t *)p == ~0UL)
		p += 8;
	return (char *)__builtin_frame_address(0) - p;
}

static int check(void)
{
	char text[8];
	int fd = open(HELLO, O_RDONLY);
	long least = 128 + 8 * 24;

	CHECK(fd >= 0);
	used_by(SYS_getppid, 0, 0, 0);
	used_by(SYS_pread64, fd, (long)text, 5);
	long host = used_by(SYS_getppid, 0, 0, 0), image = used_by(SYS_pread64, fd, (long)text, 5);
	if (host > least + 512 || image > least + 512) {
		printf("bytes of stack: a call of the host %ld, of the image %ld\n", host, image);
		return 1;
	}
	return 0;
}
