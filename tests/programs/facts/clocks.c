/* SPDX-License-Identifier: GPL-2.0-only */
/* A file's times are the clock's: not before the clock's last tick, and not after now. */
#include "fact.h"

static int64_t of(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	CHECK(!clock_gettime(clock, &now));
	return of(now);
}

static int check(void)
{
	struct stat st;

	for (int i = 0; i < 60; i++) {
		char *path = at(D, "clocked");
		int64_t before = clock_ns(CLOCK_REALTIME_COARSE);
		int file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);

		CHECK(file >= 0 && !fstat(file, &st));
		CHECK(of(st.st_mtim) >= before && of(st.st_ctim) >= before);
		CHECK(of(st.st_mtim) <= clock_ns(CLOCK_REALTIME));
		/* The kernel sleeps meanwhile. */
		sleep_ms(i % 4 * 7);
		before = clock_ns(CLOCK_REALTIME_COARSE);
		CHECK(write(file, "x", 1) == 1 && !fstat(file, &st));
		CHECK(of(st.st_mtim) >= before);
		before = clock_ns(CLOCK_REALTIME_COARSE);
		CHECK(!futimens(file, NULL) && !fstat(file, &st));
		CHECK(of(st.st_atim) >= before && of(st.st_mtim) >= before);
		CHECK(!close(file) && !unlink(path));
	}
	return 0;
}
