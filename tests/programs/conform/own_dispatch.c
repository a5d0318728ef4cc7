/* SPDX-License-Identifier: GPL-2.0-only */
/* The program uses Syscall User Dispatch itself. */
#include "conform.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static volatile char selector;
static volatile int count, number_seen, code;
static void *volatile address;

extern char allowed_start[], allowed_end[], behind[];
long allowed_call(long nr, long a, long b, long c, long d, long e, long f);
long watched_call(long nr);

__asm__(
	".text\n	.p2align 4\n"
	".globl allowed_start\nallowed_start:\n"
	".globl allowed_call\nallowed_call:\n"
	"	mov %rdi, %rax\n	mov %rsi, %rdi\n	mov %rdx, %rsi\n	mov %rcx, %rdx\n	mov %r8, %r10\n"
	"	syscall\n	ret\n"
	"	mov $15, %eax\n	syscall\n"
	".globl allowed_end\nallowed_end:\n"
	".globl watched_call\nwatched_call:\n"
	"	mov %rdi, %rax\n"
	"	syscall\n"
	".globl behind\nbehind:\n"
	"	ret\n");

static void handler(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)number;
	selector = 0; /* SYSCALL_DISPATCH_FILTER_ALLOW: the return from here is a call, too */
	count++;
	code = info->si_code;
	number_seen = info->si_syscall;
	address = info->si_call_addr;
	uc->uc_mcontext.gregs[REG_RAX] = 12345;
}

static int check(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	SEEN(raw);
	CHECK(!sigaction(SIGSYS, &action, NULL));
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, allowed_start, allowed_end - allowed_start, &selector))
		SKIP("the host has no Syscall User Dispatch");
	SEEN(raw);
	selector = 1;
	long first = allowed_call(SYS_getppid, 0, 0, 0, 0, 0, 0);
	long second = watched_call(SYS_getpid);
	/* selector is 0 again */
	CHECK(first == getppid() && second == 12345 && count == 1 && code == 2 && number_seen == SYS_getpid && address == behind);
	CHECK(watched_call(SYS_getpid) == getpid() && count == 1);
	SEEN(raw);
	CHECK(!prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0));
	SEEN(raw);
	CHECK(count == 1);
	return 0;
}
