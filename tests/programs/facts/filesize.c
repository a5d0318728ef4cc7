/* SPDX-License-Identifier: GPL-2.0-only */
/* RLIMIT_FSIZE: writes and truncations beyond are EFBIG and SIGXFSZ, what is below goes on as before. */
#include "fact.h"

#define LIMIT 16384

static volatile sig_atomic_t signals;

static void count(int signal)
{
	signals++;
}

static void limit(rlim_t bytes)
{
	struct rlimit now;

	CHECK(!getrlimit(RLIMIT_FSIZE, &now));
	now.rlim_cur = bytes;
	CHECK(!setrlimit(RLIMIT_FSIZE, &now));
}

/* One that is set again by another call. */
static void limit_by_prlimit(rlim_t bytes)
{
	struct rlimit now;

	CHECK(!prlimit(0, RLIMIT_FSIZE, NULL, &now));
	now.rlim_cur = bytes;
	CHECK(!prlimit(getpid(), RLIMIT_FSIZE, &now, NULL));
}

#define EXCEEDS(call) do { \
	signals = 0; \
	FAILS(call, EFBIG); \
	CHECK(signals == 1); \
} while (0)

static int check(void)
{
	static char data[3 * LIMIT];
	int file, small, status;

	memset(data, 'x', sizeof(data));
	pid_t child = fork();
	if (!child) {
		limit(LIMIT);
		file = open(at(D, "childs"), O_CREAT | O_RDWR, 0600);
		_exit(file < 0 || pwrite(file, data, 1, LIMIT) != -2);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
	signal(SIGXFSZ, count);
	CHECK((file = open(at(D, "limited"), O_CREAT | O_RDWR, 0600)) >= 0);
	CHECK(write(file, data, 100) == 100 && !fsync(file));
	limit(LIMIT);
	CHECK(pwrite(file, data, sizeof(data), 0) == LIMIT && !signals);
	EXCEEDS(pwrite(file, data, 100, LIMIT));
	EXCEEDS(ftruncate(file, LIMIT + 1));
	EXCEEDS(truncate(at(D, "limited"), LIMIT + 1));
	EXCEEDS(pwritev(file, &(struct iovec){ data, 1 }, 1, LIMIT));
	CHECK(!ftruncate(file, LIMIT));
	CHECK((small = open(at(D, "small"), O_CREAT | O_RDWR, 0600)) >= 0);
	CHECK(write(small, data, 1000) == 1000 && !fsync(small) && !close(small));
	/* Much that is written back while the limit holds. */
	for (int i = 0; i < 40; i++) {
		char name[32];
		snprintf(name, sizeof(name), "many%d", i);
		CHECK((small = open(at(D, name), O_CREAT | O_RDWR, 0600)) >= 0);
		CHECK(write(small, data, LIMIT) == LIMIT && !fdatasync(small) && !close(small));
	}
	limit_by_prlimit(2 * LIMIT);
	CHECK(pwrite(file, data, sizeof(data), 0) == 2 * LIMIT);
	limit_by_prlimit(RLIM_INFINITY);
	CHECK(pwrite(file, data, sizeof(data), 0) == sizeof(data) && !close(file));
	return 0;
}
