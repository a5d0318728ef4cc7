/* SPDX-License-Identifier: GPL-2.0-only */
/* The program blocks every signal; it sees the mask that it asked for. */
#include "conform.h"

static int check(void)
{
	uint64_t all = ~0ULL, back = 0, none = 0;

	SEEN(raw);
	CHECK(!raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, 0, 8, 0, 0));
	SEEN(raw);
	CHECK(!syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &back, 8));
	SEEN(raw);
	CHECK(!raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, 8, 0, 0));
	SEEN(raw);
	return 0;
}
