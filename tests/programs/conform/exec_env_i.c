/* SPDX-License-Identifier: GPL-2.0-only */
/* env -i, and env that unsets what it knows. */
#include "conform.h"

static int check(void)
{
	if (ROLE) {
		SEEN(raw);
		return 0;
	}
	RUNS(execlp("env", "env", "-i", SELF, D, H, "child", NULL));
	RUNS(execlp("env", "env", "-u", "LD_PRELOAD", SELF, D, H, "child", NULL));
	return 0;
}
