/* SPDX-License-Identifier: GPL-2.0-only */
/* A handler during which everything is blocked, as dash's of SIGCHLD: it makes calls, and returns. */
#include "conform.h"

static volatile int wrong = -1;

static void handler(int number)
{
	(void)number;
	wrong = unseen(raw);
}

static int check(void)
{
	struct sigaction action = { .sa_handler = handler };

	sigfillset(&action.sa_mask);
	CHECK(!sigaction(SIGUSR1, &action, NULL) && !sigaction(SIGCHLD, &action, NULL));
	for (int i = 0; i < 20; i++) {
		wrong = -1;
		CHECK(!raise(SIGUSR1) && !wrong);
	}
	wrong = -1;
	ENDS_WELL(({ pid_t child = fork(); if (!child) _exit(unseen(raw)); child; }));
	CHECK(!wrong);
	SEEN(raw);
	return 0;
}
