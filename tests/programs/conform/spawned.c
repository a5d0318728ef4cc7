/* SPDX-License-Identifier: GPL-2.0-only */
/* posix_spawn, with an environment of its own as well. */
#include "conform.h"
#include <spawn.h>

extern char **environ;

static int check(void)
{
	char *none[] = { NULL };
	pid_t child;

	if (ROLE) {
		SEEN(raw);
		return 0;
	}
	CHECK(!posix_spawn(&child, SELF, NULL, NULL, AGAIN("child"), environ));
	ENDS_WELL(child);
	CHECK(!posix_spawn(&child, SELF, NULL, NULL, AGAIN("child"), none));
	ENDS_WELL(child);
	return 0;
}
