/* SPDX-License-Identifier: GPL-2.0-only */
/* A signal each millisecond during a write load: no call fails, no byte is lost, and the handler may use files too. */
#include "fact.h"

static volatile sig_atomic_t ticks;
static int side;

static void tick(int number)
{
	(void)number;
	if (++ticks % 16 == 0 && side >= 0)
		pwrite(side, "tick", 4, 0);
}

static int check(void)
{
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	char block[8192], got[8192];
	int rounds = 0;

	side = open(at(D, "side"), O_CREAT | O_RDWR, 0644);
	int fd = open(at(D, "load"), O_CREAT | O_RDWR, 0644);
	CHECK(side >= 0 && fd >= 0 && !sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &every, NULL));
	for (double end = now_s() + 2; now_s() < end; rounds++) {
		off_t at_offset = rounds % 64 * (off_t)sizeof(block);
		memset(block, rounds, sizeof(block));
		CHECK(pwrite(fd, block, sizeof(block), at_offset) == sizeof(block));
		CHECK(pread(fd, got, sizeof(got), at_offset) == sizeof(got) && !memcmp(block, got, sizeof(got)));
		if (rounds % 100 == 0) {
			int other = open(at(D, "other"), O_CREAT | O_TRUNC | O_WRONLY, 0644);
			CHECK(other >= 0 && write(other, block, 100) == 100 && !fsync(other) && !close(other) && !unlink(at(D, "other")));
		}
	}
	CHECK(!setitimer(ITIMER_REAL, &never, NULL) && ticks > 50 && rounds > 50);
	CHECK(pread(side, got, 4, 0) == 4 && !memcmp(got, "tick", 4));
	return 0;
}
