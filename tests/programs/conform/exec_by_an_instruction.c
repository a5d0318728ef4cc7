/* SPDX-License-Identifier: GPL-2.0-only */
/* execve by an instruction of our own. */
#include "conform.h"

static int check(void)
{
	if (ROLE) {
		SEEN(raw);
		return 0;
	}
	char *none[] = { NULL };
	RUNS(raw(SYS_execve, (long)SELF, (long)AGAIN("child"), (long)none, 0, 0, 0));
	return 0;
}
