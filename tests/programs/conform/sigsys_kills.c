/* SPDX-License-Identifier: GPL-2.0-only */
/* A SIGSYS that somebody sends kills, unless the program does something about it. */
#include "conform.h"

static int check(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	for (int i = 0; i < 2; i++) {
		pid_t child = fork();
		CHECK(child >= 0);
		if (!child) {
			if (i)
				unseen(raw);
			raw(SYS_kill, raw(SYS_getpid, 0, 0, 0, 0, 0, 0), SIGSYS, 0, 0, 0, 0);
			_exit(0);
		}
		int end = end_of(child);
		CHECK(WIFSIGNALED(end) && WTERMSIG(end) == SIGSYS);
	}
	return 0;
}
