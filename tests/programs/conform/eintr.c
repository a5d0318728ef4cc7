/* SPDX-License-Identifier: GPL-2.0-only */
/* Each signal interrupts a read once, or lets it go on: none is lost and none is seen twice. */
#include "conform.h"

static volatile sig_atomic_t handled;
static int pipes[2];
static _Atomic pid_t reader;
static long interrupted, got;

static void handler(int number)
{
	(void)number;
	handled++;
}

static void *reads(void *arg)
{
	char byte;

	(void)arg;
	reader = gettid();
	for (;;) {
		long n = raw(SYS_read, pipes[0], (long)&byte, 1, 0, 0, 0);
		if (n == -EINTR)
			__atomic_add_fetch(&interrupted, 1, __ATOMIC_SEQ_CST);
		else if (n == 1)
			__atomic_add_fetch(&got, 1, __ATOMIC_SEQ_CST);
		else
			return (void *)n;
	}
}

static int check(void)
{
	struct sigaction action = { .sa_handler = handler };
	pthread_t thread;
	void *last;

	CHECK(!pipe(pipes) && !sigaction(SIGUSR1, &action, NULL));
	action.sa_flags = SA_RESTART;
	CHECK(!sigaction(SIGUSR2, &action, NULL) && !pthread_create(&thread, NULL, reads, NULL));
	EVENTUALLY(reader);
	for (int i = 1; i <= 20; i++) {
		until_asleep(reader);
		CHECK(!pthread_kill(thread, SIGUSR1));
		EVENTUALLY(handled == 2 * i - 1 && __atomic_load_n(&interrupted, __ATOMIC_SEQ_CST) == i);
		until_asleep(reader);
		CHECK(!pthread_kill(thread, SIGUSR2));
		EVENTUALLY(handled == 2 * i);
		CHECK(write(pipes[1], "x", 1) == 1);
		EVENTUALLY(__atomic_load_n(&got, __ATOMIC_SEQ_CST) == i);
		CHECK(__atomic_load_n(&interrupted, __ATOMIC_SEQ_CST) == i);
	}
	CHECK(!close(pipes[1]) && !pthread_join(thread, &last) && !last);
	return 0;
}
