/* SPDX-License-Identifier: GPL-2.0-only */
/* Time goes on and everybody gets their turn, whatever the others do: while other threads idle, compute without a call, spend
 * milliseconds in single calls, or make a flood of events. One thread makes timed waits (how late is the end?), calls
 * that need no waiting (how long does the longest take?), and looks at the kernel's clock, which its timer interrupt
 * drives. Prints a line for each kind of company, times in microseconds. */
#include "fact.h"
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

enum { WAITS = 60, WAIT_MS = 3, THREADS = 2, BIG = 8 << 20 };

static _Atomic int stop;
static int big, quiet;
static _Atomic unsigned long turns;

static int bound(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && !bind(fd, (void *)&here, sizeof(here)));
	return fd;
}

static void *idle(void *arg)
{
	while (!stop)
		usleep(1000);
	return arg;
}

static void *computes(void *arg)
{
	struct stat st;

	/* once in the kernel, so that it is one of its threads */
	CHECK(!fstat(big, &st));
	while (!stop)
		turns++;
	return arg;
}

static void *long_calls(void *arg)
{
	char *bytes = malloc(BIG);

	CHECK(bytes);
	for (; !stop; turns++)
		CHECK(pread(big, bytes, BIG, 0) == BIG);
	free(bytes);
	return arg;
}

static void *floods(void *arg)
{
	struct sockaddr_in to;
	socklen_t size = sizeof(to);
	char byte[100] = "";
	int fd = bound();

	CHECK(!getsockname(fd, (void *)&to, &size));
	for (; !stop; turns++) {
		CHECK(sendto(fd, byte, sizeof(byte), 0, (void *)&to, size) == sizeof(byte));
		CHECK(recv(fd, byte, sizeof(byte), 0) == sizeof(byte));
	}
	close(fd);
	return arg;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* How far the kernel's coarse clock, which stamps files, is behind the host's. */
static double clock_lag_s(void)
{
	struct timespec now;
	struct stat st;
	char byte = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	CHECK(pwrite(quiet, &byte, 1, 0) == 1 && !fstat(quiet, &st));
	return now.tv_sec - st.st_mtim.tv_sec + (now.tv_nsec - st.st_mtim.tv_nsec) / 1e9;
}

static void among(const char *company, void *(*work)(void *))
{
	pthread_t threads[THREADS];
	double late[WAITS], longest = 0, lag = 0;
	int fd = bound();
	struct stat st;

	stop = turns = 0;
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, NULL));
	sleep_ms(20);
	for (int i = 0; i < WAITS; i++) {
		struct pollfd nothing = { fd, POLLIN, 0 };
		double start = now_s();
		CHECK(poll(&nothing, 1, WAIT_MS) == 0);
		late[i] = now_s() - start - WAIT_MS / 1e3;
		CHECK(late[i] > -1e-4);
		start = now_s();
		CHECK(!fstat(big, &st));
		double took = now_s() - start, behind = clock_lag_s();
		longest = took > longest ? took : longest;
		lag = behind > lag ? behind : lag;
	}
	/* The others get their turns too, however slow the machine is: if not, this never ends, and the suite's deadline says so. */
	while (work != idle && turns <= 10)
		sleep_ms(1);
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	close(fd);
	qsort(late, WAITS, sizeof(*late), by_value);
	printf("%s: wait of %d ms late by %.0f (half), %.0f (most); longest call %.0f; clock behind by %.0f; others' turns %lu\n", company,
	       WAIT_MS, late[WAITS / 2] * 1e6, late[WAITS - 1] * 1e6, longest * 1e6, lag * 1e6, turns);
	/* The machine's own hiccups are part of it: starving would be seconds. Among threads whose calls take milliseconds and
	 * follow each other without a pause that is not reached yet: now and then a thread that is due waits for seconds. */
	double most = work == long_calls ? 15 : 1;
	CHECK(late[WAITS / 2] < 0.1 && late[WAITS - 1] < most && longest < 1 && lag < 0.5);
}

static int check(void)
{
	char *bytes = calloc(1, BIG);

	big = open(at(D, "big"), O_CREAT | O_RDWR, 0644);
	quiet = open(at(D, "quiet"), O_CREAT | O_RDWR, 0644);
	CHECK(big >= 0 && quiet >= 0 && write(big, bytes, BIG) == BIG);
	among("idle", idle);
	among("computing", computes);
	among("in long calls", long_calls);
	among("flooding", floods);
	return 0;
}
