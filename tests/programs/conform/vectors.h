/* SPDX-License-Identifier: GPL-2.0-only */
/* Vector registers over a call: `VECTOR_SITE` loads them all, calls and stores them all. */
#ifndef VECTORS_H
#define VECTORS_H
#include "conform.h"

static unsigned char before[4096] __attribute__((aligned(64))), after[4096] __attribute__((aligned(64)));

#define EACH16(one) one(0) one(1) one(2) one(3) one(4) one(5) one(6) one(7) one(8) one(9) one(10) one(11) one(12) one(13) one(14) one(15)

/* long name(nr, a, b, c, before, after): the first four as registers of the call */
#define VECTOR_SITE(name, load, store, extra_load, extra_store) __asm__( \
	".text\n	.globl " #name "\n	.type " #name ", @function\n" #name ":\n	.cfi_startproc\n" \
	"	mov %rdi, %rax\n	mov %rsi, %rdi\n	mov %rdx, %rsi\n	mov %rcx, %rdx\n	xor %r10d, %r10d\n" \
	EACH16(load) extra_load \
	"	syscall\n" \
	EACH16(store) extra_store \
	"	ret\n	.cfi_endproc\n	.size " #name ", . - " #name "\n"); \
	long name(long nr, long a, long b, long c, void *before, void *after)

static void keeps(long (*call)(long, long, long, long, void *, void *), unsigned size)
{
	char text[16];
	int fd = open(HELLO, O_RDONLY);

	CHECK(fd >= 0);
	for (int round = 0; round < 30; round++) {
		for (unsigned i = 0; i < size; i++)
			before[i] = i * 7 + round * 13 + 1;
		for (int kind = 0; kind < 3; kind++) {
			memset(after, 0, sizeof(after));
			long result = kind == 0 ? call(SYS_getppid, 0, 0, 0, before, after)
				: kind == 1 ? call(SYS_pread64, fd, (long)text, 5, before, after)
				: call(SYS_openat, AT_FDCWD, (long)HELLO, O_RDONLY, before, after);
			for (unsigned i = 0; i < size; i++)
				if (before[i] != after[i]) {
					printf("round %d, call %d: byte %u changed\n", round, kind, i);
					fflush(stdout);
					_exit(1);
				}
			CHECK(kind == 0 ? result == getppid() : kind == 1 ? result == 5 : result >= 0 && !close(result));
		}
	}
}
#endif
