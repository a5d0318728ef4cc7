/* SPDX-License-Identifier: GPL-2.0-only */
/* Strict seccomp: read, write, exit and sigreturn, and death for everything else. */
#include "conform.h"
#include <linux/seccomp.h>

static int check(void)
{
	int pipes[2], end;
	char byte = 0;
	pid_t child;

	CHECK(!pipe(pipes));
	for (int i = 0; i < 2; i++) {
		child = fork();
		CHECK(child >= 0);
		if (!child) {
			if (raw(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0, 0))
				_exit(9);
			for (int k = 0; k < 5; k++)
				raw(SYS_write, pipes[1], (long)"x", 1, 0, 0, 0);
			if (i)
				raw(SYS_getpid, 0, 0, 0, 0, 0, 0);
			raw(SYS_exit, 7, 0, 0, 0, 0, 0);
		}
		end = end_of(child);
		for (int k = 0; k < 5; k++, byte = 0)
			CHECK(read(pipes[0], &byte, 1) == 1 && byte == 'x');
		if (i)
			CHECK(WIFSIGNALED(end) && WTERMSIG(end) == SIGKILL);
		else
			CHECK(WIFEXITED(end) && WEXITSTATUS(end) == 7);
	}
	return 0;
}
