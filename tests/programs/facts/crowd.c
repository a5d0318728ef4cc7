/* SPDX-License-Identifier: GPL-2.0-only */
/* Forks and spawns from a program whose other threads are at work in the kernel all the time. */
#include "fact.h"
#include <spawn.h>

extern char **environ;
static _Atomic int stop, failures;

static void *work(void *arg)
{
	char name[32], got[100];

	snprintf(name, sizeof(name), "crowd%ld", (long)arg);
	while (!stop) {
		int fd = open(at(D, name), O_CREAT | O_RDWR | O_TRUNC, 0644);
		if (fd < 0 || write(fd, name, sizeof(name)) != sizeof(name) || pread(fd, got, sizeof(name), 0) != sizeof(name) || memcmp(got, name, sizeof(name)) || close(fd))
			failures++;
	}
	return NULL;
}

static int check(void)
{
	pthread_t threads[4];
	char *words[] = { "/bin/true", NULL };
	pid_t child;
	int status;

	for (long i = 0; i < 4; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, (void *)i));
	/* no pause: the first forks meet threads on their way into the kernel */
	for (int i = 0; i < 60; i++) {
		fflush(stdout);
		if (!(child = fork()))
			_exit(i);
		CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == i);
		CHECK(!posix_spawn(&child, words[0], NULL, NULL, words, environ) && waitpid(child, &status, 0) == child && status == 0);
		if (!(child = vfork()))
			execve(words[0], words, environ), _exit(127);
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
	stop = 1;
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_join(threads[i], NULL));
	CHECK(!failures);
	return 0;
}
