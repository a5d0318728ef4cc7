/* SPDX-License-Identifier: GPL-2.0-only */
/* 100,000 handlers that interrupt a read and leave by a jump. Nothing leaks, nothing wears out. */
#include "conform.h"

static sigjmp_buf jump;
static volatile long jumps;

static void handler(int number)
{
	(void)number;
	siglongjmp(jump, 1);
}

static long resident_pages(void)
{
	long size, resident;
	FILE *statm = fopen("/proc/self/statm", "r");

	CHECK(statm && fscanf(statm, "%ld %ld", &size, &resident) == 2 && !fclose(statm));
	return resident;
}

static int check(void)
{
	struct sigaction action = { .sa_handler = handler };
	timer_t timer;
	struct itimerspec soon = { .it_value.tv_nsec = 2000 };
	int pipes[2];
	volatile long before = 0;
	char byte;

	CHECK(!pipe(pipes) && !sigaction(SIGALRM, &action, NULL) && !timer_create(CLOCK_MONOTONIC, NULL, &timer));
	while (jumps < 100000) {
		if (jumps == 1000)
			before = resident_pages();
		if (!sigsetjmp(jump, 1)) {
			timer_settime(timer, 0, &soon, NULL);
			raw(SYS_read, pipes[0], (long)&byte, 1, 0, 0, 0);
			CHECK(!"the read came back");
		}
		jumps++;
	}
	CHECK(resident_pages() - before < 512);
	SEEN(raw);
	return 0;
}
