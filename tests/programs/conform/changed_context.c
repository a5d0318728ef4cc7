/* SPDX-License-Identifier: GPL-2.0-only */
/* A handler changes what the interrupted code goes on with; the return from it is exact. */
#include "conform.h"

static volatile int count;
extern char continue_here[];

static void handler(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)number, (void)info;
	count++;
	regs[REG_RIP] = (greg_t)continue_here;
	regs[REG_RBX] = 0x1122334455667788;
	unseen(raw);
}

/* In rdi a value that has to survive; the result is rbx. */
long interrupted(long other);
__asm__(
	".text\n	.globl interrupted, continue_here\n"
	"interrupted:\n"
	"	push %rbx\n"
	"	xor %ebx, %ebx\n"
	"	ud2\n"
	"	mov $1, %ebx\n"
	"continue_here:\n"
	"	lea (%rbx, %rdi), %rax\n"
	"	pop %rbx\n"
	"	ret\n");

static int check(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	CHECK(!sigaction(SIGILL, &action, NULL));
	for (int i = 1; i <= 100; i++)
		CHECK(interrupted(i) == 0x1122334455667788 + i && count == i);
	return 0;
}
