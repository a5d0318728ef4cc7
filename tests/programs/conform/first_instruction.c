/* SPDX-License-Identifier: GPL-2.0-only */
/* A function that begins with its call, one that runs into the next with it, and two calls side by side. */
#include "conform.h"

__asm__(
	".text\n	.p2align 4\n"
	"	.globl begins\n	.type begins, @function\n"
	"begins:\n	.cfi_startproc\n	syscall\n	ret\n	.cfi_endproc\n	.size begins, . - begins\n"
	"	.globl falls\n	.type falls, @function\n"
	"falls:\n	.cfi_startproc\n	mov %edi, %eax\n	syscall\n	.cfi_endproc\n	.size falls, . - falls\n"
	/* where `falls` goes on */
	"	.globl lands\n	.type lands, @function\n"
	"lands:\n	.cfi_startproc\n	ret\n	.cfi_endproc\n	.size lands, . - lands\n"
	/* two calls in the reach of one window */
	"	.globl chained\n	.type chained, @function\n"
	"chained:\n	.cfi_startproc\n	syscall\n	mov $110, %eax\n	syscall\n	ret\n	.cfi_endproc\n	.size chained, . - chained\n"
	"	.globl call_with\n"
	"call_with:\n	mov %rdi, %rax\n	jmp *%rsi\n");
long call_with(long nr, void (*site)(void), ...);
void begins(void), chained(void);
long falls(long nr);

static int check(void)
{
	for (int i = 0; i < 100; i++) {
		CHECK(call_with(SYS_getpid, begins) == getpid() && call_with(SYS_getppid, begins) == getppid());
		CHECK(falls(SYS_getpid) == getpid() && falls(SYS_gettid) == gettid());
		CHECK(call_with(SYS_getpid, chained) == getppid());
	}
	return 0;
}
