/* SPDX-License-Identifier: GPL-2.0-only */
/* fexecve, and execveat. */
#include "conform.h"

static int check(void)
{
	if (ROLE) {
		SEEN(raw);
		return 0;
	}
	char *none[] = { NULL };
	int fd = open(SELF, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	RUNS(fexecve(fd, AGAIN("child"), none));
	RUNS(syscall(SYS_execveat, fd, "", AGAIN("child"), none, AT_EMPTY_PATH));
	RUNS(syscall(SYS_execveat, AT_FDCWD, SELF, AGAIN("child"), none, 0));
	return 0;
}
