/* SPDX-License-Identifier: GPL-2.0-only */
/* A SIGSYS that somebody sends is ignored, if the program says so, and waits while it is blocked. */
#include "conform.h"

static volatile int count;

static void handler(int number)
{
	(void)number;
	count++;
}

static int check(void)
{
	sigset_t sys, pending;

	signal(SIGSYS, SIG_IGN);
	SEEN(raw);
	CHECK(!raise(SIGSYS) && !kill(getpid(), SIGSYS));
	SEEN(raw);
	signal(SIGSYS, handler);
	sigemptyset(&sys);
	sigaddset(&sys, SIGSYS);
	CHECK(!sigprocmask(SIG_BLOCK, &sys, NULL) && !raise(SIGSYS) && count == 0);
	SEEN(raw);
	CHECK(!sigpending(&pending) && sigismember(&pending, SIGSYS) == 1 && count == 0);
	CHECK(!sigprocmask(SIG_UNBLOCK, &sys, NULL) && count == 1);
	return 0;
}
