/* SPDX-License-Identifier: GPL-2.0-only */
/* An environment whose LD_PRELOAD names something else. */
#include "conform.h"

static int check(void)
{
	if (ROLE) {
		SEEN(raw);
		return 0;
	}
	char *other[] = { "LD_PRELOAD=libpthread.so.0", "A=b", NULL };
	RUNS(execve(SELF, AGAIN("child"), other));
	return 0;
}
