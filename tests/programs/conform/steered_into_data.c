/* SPDX-License-Identifier: GPL-2.0-only */
/* The program executes what is data to a decoder: it works, is seen, and other bytes around it stay. */
#include "conform.h"

__asm__(
	".text\n	.p2align 4\n	.globl embedded\n	.type embedded, @function\n"
	"embedded:\n	.cfi_startproc\n"
	/* as one instruction: movabs $..., %rax. From its middle: mov rax,rdi; syscall; ret */
	"	movabs $0xc3050ff889489090, %rax\n"
	"	ret\n	.cfi_endproc\n	.size embedded, . - embedded\n");
uint64_t embedded(void);

static int check(void)
{
	long (*middle)(long) = (long (*)(long))((char *)embedded + 4);

	for (int i = 0; i < 100; i++) {
		CHECK(embedded() == 0xc3050ff889489090);
		CHECK(middle(SYS_getpid) == getpid() && middle(SYS_getppid) == getppid());
		CHECK(embedded() == 0xc3050ff889489090);
	}
	return 0;
}
