/* SPDX-License-Identifier: GPL-2.0-only */
/* A process that had threads, which made calls, forks; so does a thread. Parent and child go on. */
#include "conform.h"

static void *calls(void *arg)
{
	(void)arg;
	SEEN(raw);
	free(malloc(1000));
	return NULL;
}

static void *forks(void *arg)
{
	pid_t child = fork();

	(void)arg;
	if (!child) {
		alarm(4);
		_exit(unseen(raw));
	}
	ENDS_WELL(child);
	return NULL;
}

static int check(void)
{
	pthread_t threads[4];

	alarm(9);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 4; i++)
			CHECK(!pthread_create(&threads[i], NULL, calls, NULL));
		for (int i = 0; i < 4; i++)
			CHECK(!pthread_join(threads[i], NULL));
		forks(NULL);
		CHECK(!pthread_create(&threads[0], NULL, forks, NULL) && !pthread_join(threads[0], NULL));
		SEEN(raw);
	}
	return 0;
}
