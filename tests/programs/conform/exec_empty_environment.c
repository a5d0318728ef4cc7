/* SPDX-License-Identifier: GPL-2.0-only */
/* execve with an empty environment, and with none at all. */
#include "conform.h"

static int check(void)
{
	if (ROLE) {
		SEEN(raw);
		return 0;
	}
	char *none[] = { NULL };
	RUNS(execve(SELF, AGAIN("child"), none));
	RUNS(execve(SELF, AGAIN("child"), NULL));
	return 0;
}
