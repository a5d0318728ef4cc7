/* SPDX-License-Identifier: GPL-2.0-only */
/* Many children that end, or begin with their first thread, while a SIGKILL comes: those that come after find everything
 * there that a process needs. */
#include "fact.h"

enum { CHILDREN = 600 };

static void *touches(void *arg)
{
	CHECK(!access(arg, F_OK));
	return NULL;
}

static void live(void)
{
	pthread_t thread;
	int fd = open(at(D, "ends"), O_RDWR | O_CREAT | O_APPEND, 0600);

	CHECK(fd >= 0 && write(fd, "x", 1) == 1);
	CHECK(!pthread_create(&thread, NULL, touches, HELLO) && !pthread_join(thread, NULL));
	exit(0);
}

static int check(void)
{
	unsigned seed = 1;

	for (int n = 0; n < CHILDREN; n++) {
		pid_t child = fork();
		CHECK(child >= 0);
		if (!child)
			live();
		struct timespec wait = { 0, rand_r(&seed) % 3000000 };
		nanosleep(&wait, NULL);
		kill(child, SIGKILL);
		status_of(child);
	}
	pid_t last = fork();
	if (!last)
		live();
	CHECK(status_of(last) == 0);
	return 0;
}
