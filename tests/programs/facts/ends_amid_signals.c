/* SPDX-License-Identifier: GPL-2.0-only */
/* A process that a deadly signal ends while others keep coming, for which it has a handler: it ends. */
#include "fact.h"

enum { ROUNDS = 40, CHILDREN = 60 };
static volatile int seen;

static void count(int signal) { (void)signal; seen++; }

static void live(void)
{
	struct itimerval often = { { 0, 150 }, { 0, 150 } };
	struct sigaction action = { .sa_handler = count, .sa_flags = SA_RESTART };
	char byte = 0;
	int fd = open(at(D, "ends"), O_RDWR | O_CREAT, 0600);

	CHECK(fd >= 0 && !sigaction(SIGCHLD, &action, NULL) && !sigaction(SIGALRM, &action, NULL));
	CHECK(!setitimer(ITIMER_REAL, &often, NULL));
	for (int i = 0; i < CHILDREN; i++)
		if (!fork()) {
			for (double end = now_s() + 0.004 + i * 0.0003; now_s() < end;)
				sched_yield();
			_exit(0);
		}
	for (;;)
		CHECK(pwrite(fd, &byte, 1, 0) == 1);
}

static int check(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		int status = 0, pipes[2];
		char byte;

		CHECK(!pipe(pipes));
		pid_t ended = 0, child = fork();
		if (!child)
			live();
		sleep_ms(12 + i % 8);
		CHECK(!kill(child, SIGTERM));
		EVENTUALLY((ended = ended ? ended : waitpid(child, &status, WNOHANG)) == child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
		/* the children's children end, too */
		CHECK(!close(pipes[1]) && read(pipes[0], &byte, 1) == 0 && !close(pipes[0]));
	}
	return 0;
}
