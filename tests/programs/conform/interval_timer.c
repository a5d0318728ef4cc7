/* SPDX-License-Identifier: GPL-2.0-only */
/* Two seconds of a timer at 1 kHz during reads and writes: every byte arrives, every tick is handled. */
#include "conform.h"

#define BLOCK 997

static volatile sig_atomic_t ticks;
static int pipes[2];
static double end;

static void handler(int number)
{
	(void)number;
	ticks++;
}

static void *writes(void *arg)
{
	unsigned char block[BLOCK];
	unsigned long at = 0;

	(void)arg;
	while (now_s() < end) {
		for (int i = 0; i < BLOCK; i++)
			block[i] = (at + i) % 251;
		for (long done = 0; done < BLOCK; ) {
			long n = raw(SYS_write, pipes[1], (long)(block + done), BLOCK - done, 0, 0, 0);
			if (n == -EINTR)
				continue;
			CHECK(n > 0);
			done += n;
		}
		at += BLOCK;
	}
	CHECK(!close(pipes[1]));
	return (void *)at;
}

static int check(void)
{
	struct sigaction action = { .sa_handler = handler };
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	unsigned char block[BLOCK];
	unsigned long at = 0;
	pthread_t thread;
	void *sent;
	long n;

	end = now_s() + 2;
	CHECK(!pipe(pipes) && !sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &every, NULL));
	CHECK(!pthread_create(&thread, NULL, writes, NULL));
	int file = open(HELLO, O_RDONLY);
	CHECK(file >= 0);
	while ((n = raw(SYS_read, pipes[0], (long)block, BLOCK, 0, 0, 0)) != 0) {
		char text[5];
		if (n == -EINTR)
			continue;
		CHECK(n > 0);
		for (long i = 0; i < n; i++)
			CHECK(block[i] == (at + i) % 251);
		at += n;
		CHECK(raw(SYS_pread64, file, (long)text, 5, 0, 0, 0) == 5 && !memcmp(text, "Hello", 5));
	}
	CHECK(!pthread_join(thread, &sent) && !setitimer(ITIMER_REAL, &never, NULL));
	CHECK((unsigned long)sent == at && ticks > 200);
	return 0;
}
