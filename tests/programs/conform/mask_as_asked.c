/* SPDX-License-Identifier: GPL-2.0-only */
/* A program that blocks every signal reads back that it did, and so does its handler. */
#include "conform.h"

static uint64_t in_handler;

static void handler(int number)
{
	(void)number;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &in_handler, 8);
}

static int check(void)
{
	uint64_t all = ~0ULL, back = 0, none = 0;
	struct sigaction action = { .sa_handler = handler };

	CHECK(!syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8));
	CHECK(!syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, &back, 8));
	printf("blocked: %#llx\n", (unsigned long long)back);
	sigfillset(&action.sa_mask);
	CHECK(!sigaction(SIGUSR1, &action, NULL) && !raise(SIGUSR1));
	printf("in the handler: %#llx\n", (unsigned long long)in_handler);
	CHECK(!sigaction(SIGUSR1, NULL, &action));
	printf("of the handler: %#lx\n", *(unsigned long *)&action.sa_mask);
	return 0;
}
