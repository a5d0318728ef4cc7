/* SPDX-License-Identifier: GPL-2.0-only */
/* fork and clone by the program's own instructions. */
#include "conform.h"

static void child_of(pid_t child)
{
	CHECK(child >= 0);
	if (!child)
		raw(SYS_exit_group, unseen(raw), 0, 0, 0, 0, 0);
	ENDS_WELL(child);
}

static int check(void)
{
	struct { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; } args = { .exit_signal = SIGCHLD };

	for (int i = 0; i < 3; i++) {
		child_of(raw(SYS_fork, 0, 0, 0, 0, 0, 0));
		child_of(raw(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0));
		child_of(raw(SYS_clone3, (long)&args, sizeof(args), 0, 0, 0, 0));
	}
	SEEN(raw);
	return 0;
}
