/* SPDX-License-Identifier: GPL-2.0-only */
/* ld.so run by hand. */
#include "conform.h"

static int check(void)
{
	if (ROLE) {
		SEEN(raw);
		return 0;
	}
	char *none[] = { NULL }, *loader = "/lib64/ld-linux-x86-64.so.2";
	RUNS(execve(loader, ((char *[]){ loader, SELF, (char *)D, (char *)H, "child", NULL }), none));
	return 0;
}
