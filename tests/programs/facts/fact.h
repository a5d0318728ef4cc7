/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the programs of the suite: each takes the directory under test and a directory of the host, checks one
 * matter, prints the first thing that is wrong and fails, or prints "ok". */
#ifndef FACT_H
#define FACT_H
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static const char *D, *H;
/* For programs that start themselves again: their own path, and the part that the new one has. */
__attribute__((unused)) static char *SELF, *ROLE;
/* A file of the directory, named early: for places where nothing may be called. */
__attribute__((unused)) static char HELLO[PATH_MAX];

#define CHECK(condition) do { \
	errno = 0; \
	if (!(condition)) { \
		int why = errno; \
		printf("%s:%d: not true: %s (errno %d: %s)\n", __FILE__, __LINE__, #condition, why, strerror(why)); \
		fflush(stdout); \
		_exit(1); \
	} \
} while (0)

/* How a child ended, as waitpid() has it. */
__attribute__((unused)) static int status_of(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child);
	return status;
}

/* The call fails with this errno and no other. */
#define FAILS(call, expected) do { \
	errno = 0; \
	long gave = (long)(call); \
	int why = errno; \
	if (gave != -1 || why != (expected)) { \
		printf("%s:%d: %s gave %ld, errno %d (%s), not errno %d\n", __FILE__, __LINE__, #call, gave, why, strerror(why), (expected)); \
		fflush(stdout); \
		_exit(1); \
	} \
} while (0)

__attribute__((unused)) static char *at(const char *root, const char *name)
{
	/* On the heap: thread-local arrays would not fit on the smallest stack. */
	static __thread char *paths[8];
	static __thread unsigned next;
	char **slot = &paths[next++ % 8];
	char *path = *slot ? *slot : (*slot = malloc(PATH_MAX));

	snprintf(path, PATH_MAX, "%s/%s", root, name);
	return path;
}

__attribute__((unused)) static void sleep_ms(long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

__attribute__((unused)) static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Waits until a thread of this process sleeps (in either kernel), so that a signal finds it in its call. */
__attribute__((unused)) static void until_asleep(pid_t thread)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	for (int asleep = 0; asleep < 5; sleep_ms(4)) {
		FILE *stat = fopen(path, "r");
		if (!stat || !fgets(line, sizeof(line), stat))
			_exit(90);
		fclose(stat);
		char *state = strrchr(line, ')');
		asleep = state && state[2] == 'S' ? asleep + 1 : 0;
	}
}

/* Waits for a condition, five seconds at most. */
#define EVENTUALLY(condition) do { \
	for (double end = now_s() + 5; !(condition) && now_s() < end; ) \
		sleep_ms(1); \
	CHECK(condition); \
} while (0)

static int check(void);

int main(int argc, char **argv)
{
	D = argv[1];
	H = argc > 2 ? argv[2] : NULL;
	ROLE = argc > 3 ? argv[3] : NULL;
	SELF = argv[0];
	snprintf(HELLO, sizeof(HELLO), "%s/hello.txt", D);
	int status = check();
	if (!status)
		puts("ok");
	return status;
}
#endif
