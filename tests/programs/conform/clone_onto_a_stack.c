/* SPDX-License-Identifier: GPL-2.0-only */
/* clone(2) through libc onto a stack of the program's, in memory of its own and in the parent's. */
#include "conform.h"
#include <sched.h>

static int seen;

static int child(void *arg)
{
	int wrong = unseen(raw);

	seen = !wrong;
	(void)arg;
	_exit(wrong);
}

static int check(void)
{
	char *stack = pages(16, PROT_READ | PROT_WRITE);

	for (int i = 0; i < 3; i++) {
		ENDS_WELL(clone(child, stack + 16 * PAGE, SIGCHLD, NULL));
		CHECK(!seen);
	}
	SEEN(raw);
	return 0;
}
