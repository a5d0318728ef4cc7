/* SPDX-License-Identifier: GPL-2.0-only */
/* A library that the program's own LD_PRELOAD names: its constructor is served, too. */
#include "conform.h"
#include <dlfcn.h>

static int check(void)
{
	if (ROLE) {
		int *result = dlsym(RTLD_DEFAULT, "early_result");
		CHECK(result && *result == 1);
		return 0;
	}
	CHECK(!setenv("LD_PRELOAD", "libearly.so", 1));
	RUNS(execv(SELF, AGAIN("child")));
	return 0;
}
