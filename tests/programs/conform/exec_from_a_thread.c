/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread that is not the first replaces the program. */
#include "conform.h"

static void *body(void *arg)
{
	char *none[] = { NULL };

	(void)arg;
	execve(SELF, AGAIN("child"), none);
	_exit(119);
}

static int check(void)
{
	pthread_t thread;

	if (ROLE) {
		SEEN(raw);
		return 0;
	}
	RUNS(({ pthread_create(&thread, NULL, body, NULL); pthread_join(thread, NULL); }));
	return 0;
}
