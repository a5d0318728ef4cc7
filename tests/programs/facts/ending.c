/* SPDX-License-Identifier: GPL-2.0-only */
/* A process that ends while other threads of it make children: the children go on, and end. */
#include "fact.h"
#include <spawn.h>

extern char **environ;

static void *forks(void *arg)
{
	char *words[] = { "true", NULL };

	for (;;) {
		pid_t child = arg ? fork() : 0;
		if (arg && !child) {
			struct stat st;
			_exit(stat(D, &st) != 0);
		}
		if (!arg)
			posix_spawn(&child, "/bin/true", NULL, NULL, words, environ);
		waitpid(child, NULL, 0);
	}
	return NULL;
}

static int check(void)
{
	for (int i = 0; i < 20; i++) {
		int pipes[2];
		char byte;
		pid_t child;

		CHECK(!pipe(pipes));
		if (!(child = fork())) {
			pthread_t thread;
			struct stat st;

			close(pipes[0]);
			stat(D, &st);
			for (long n = 0; n < 3; n++)
				pthread_create(&thread, NULL, forks, (void *)(n & 1));
			usleep(5000 + i * 1000);
			exit(7);
		}
		CHECK(!close(pipes[1]) && WEXITSTATUS(status_of(child)) == 7);
		/* all that was made has ended */
		alarm(30);
		CHECK(read(pipes[0], &byte, 1) == 0);
		alarm(0);
		CHECK(!close(pipes[0]));
	}
	return 0;
}
