/* SPDX-License-Identifier: GPL-2.0-only */
/* exit(2) ends a thread, and with the last one the process. */
#include "conform.h"

static int check(void)
{
	pid_t child = fork();

	if (!child) {
		int wrong = unseen(raw);
		raw(SYS_exit, wrong, 0, 0, 0, 0, 0);
	}
	ENDS_WELL(child);
	return 0;
}
