/* SPDX-License-Identifier: GPL-2.0-only */
/* The heap grows at the break, piece by piece; the stack grows far; both shrink, and neither meets the other. */
#include "conform.h"

static long deep(long left)
{
	volatile char room[8192];

	room[0] = left;
	room[8191] = left;
	if (left == 0)
		return unseen(raw) ? -1000000 : 0;
	long below = deep(left - 1);
	return below + (room[0] == (char)left && room[8191] == (char)left);
}

static int check(void)
{
	struct rlimit limit;

	CHECK(sbrk(0) != (void *)-1);
	for (int i = 0; i < 100; i++) {
		char *before = sbrk(65536);
		CHECK(before != (void *)-1 && (char *)sbrk(0) == before + 65536);
		before[0] = before[65535] = i;
		CHECK(before[0] == i);
	}
	CHECK(sbrk(-65536 * 100) != (void *)-1);
	CHECK(!getrlimit(RLIMIT_STACK, &limit));
	long size = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > 8 << 20 ? 8 << 20 : (long)limit.rlim_cur;
	long depth = (size - (1 << 20)) / 8500;
	CHECK(deep(depth) == depth);
	return 0;
}
