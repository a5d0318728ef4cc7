/* SPDX-License-Identifier: GPL-2.0-only */
/* A program that changes who we are is started as it is; as root, none does. */
#include "conform.h"

static int check(void)
{
	char *environment[] = { "PATH=/usr/bin:/bin", "LC_ALL=C", NULL };
	char *path = "/usr/bin/su";

	if (access(path, X_OK))
		SKIP("there is no su");
	RUNS(execve(path, ((char *[]){ path, "--version", NULL }), environ));
	RUNS(execve(path, ((char *[]){ path, "--version", NULL }), environment));
	SEEN(raw);
	return 0;
}
