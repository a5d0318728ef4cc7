/* SPDX-License-Identifier: GPL-2.0-only */
/* vfork and exec, the way shells and make start programs. */
#include "conform.h"

static int check(void)
{
	char *none[] = { NULL };

	if (ROLE) {
		SEEN(raw);
		return 0;
	}
	for (int i = 0; i < 3; i++) {
		fflush(stdout);
		pid_t child = vfork();
		CHECK(child >= 0);
		if (!child) {
			execve(SELF, AGAIN("child"), none);
			_exit(120);
		}
		ENDS_WELL(child);
	}
	return 0;
}
