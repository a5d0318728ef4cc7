/* SPDX-License-Identifier: GPL-2.0-only */
/* The x87 stack and its control word, and mxcsr with its rounding. */
#include "conform.h"

__asm__(
	".text\n	.globl x87_site\n	.type x87_site, @function\n"
	/* long x87_site(nr, a, b, c, double out[8], short *control) */
	"x87_site:\n	.cfi_startproc\n"
	"	mov %rdi, %rax\n	mov %rsi, %rdi\n	mov %rdx, %rsi\n	mov %rcx, %rdx\n	xor %r10d, %r10d\n"
	"	fninit\n	fldcw (%r9)\n"
	"	fld1\n	fldpi\n	fldl2e\n	fldlg2\n	fldln2\n	fldl2t\n	fldz\n	fld1\n"
	"	syscall\n"
	"	fnstcw 2(%r9)\n"
	"	fstpl (%r8)\n	fstpl 8(%r8)\n	fstpl 16(%r8)\n	fstpl 24(%r8)\n	fstpl 32(%r8)\n	fstpl 40(%r8)\n	fstpl 48(%r8)\n	fstpl 56(%r8)\n"
	"	fninit\n	ret\n	.cfi_endproc\n	.size x87_site, . - x87_site\n");
long x87_site(long nr, long a, long b, long c, double *out, unsigned short *control);

static int check(void)
{
	const double expected[8] = { 1, 0, 3.321928094887362, 0.6931471805599453, 0.3010299956639812, 1.4426950408889634, 3.141592653589793, 1 };
	char text[16];
	int fd = open(HELLO, O_RDONLY);
	unsigned mxcsr[2], usual;

	CHECK(fd >= 0);
	__asm__ volatile("stmxcsr %0" : "=m"(usual));
	for (int i = 0; i < 60; i++) {
		unsigned short control[2] = { i & 1 ? 0x27f : 0x37f, 0 };
		double values[8] = { 0 };
		long result = i % 3 ? x87_site(SYS_pread64, fd, (long)text, 5, values, control) : x87_site(SYS_getppid, 0, 0, 0, values, control);
		CHECK(result == (i % 3 ? 5 : getppid()) && control[1] == control[0]);
		for (int k = 0; k < 8; k++)
			CHECK(values[k] - expected[k] < 1e-15 && expected[k] - values[k] < 1e-15);
		/* toward zero, denormals flushed, a sticky flag */
		mxcsr[0] = 0x1f80 | 0x6000 | 0x8000 | 0x40 | (i & 1);
		__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr[0]));
		long n = raw(SYS_pread64, fd, (long)text, 5, 0, 0, 0), p = raw(SYS_getppid, 0, 0, 0, 0, 0, 0);
		__asm__ volatile("stmxcsr %0\n	ldmxcsr %1" : "=m"(mxcsr[1]) : "m"(usual));
		CHECK(n == 5 && p == getppid() && mxcsr[0] == mxcsr[1]);
	}
	return 0;
}
