/* SPDX-License-Identifier: GPL-2.0-only */
/* The child of a vfork, before it executes anything; and vfork by an instruction of ours is left to libc. */
#include "conform.h"

static int check(void)
{
	for (int i = 0; i < 3; i++) {
		pid_t child = vfork();
		CHECK(child >= 0);
		if (!child)
			_exit(unseen(raw));
		ENDS_WELL(child);
	}
	SEEN(raw);
	return 0;
}
