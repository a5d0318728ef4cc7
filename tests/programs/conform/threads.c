/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads as libc makes them, and what they do at once. */
#include "conform.h"

static void *body(void *arg)
{
	(void)arg;
	SEEN(raw);
	return NULL;
}

static int check(void)
{
	pthread_t threads[8];

	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 8; i++)
			CHECK(!pthread_create(&threads[i], NULL, body, NULL));
		for (int i = 0; i < 8; i++)
			CHECK(!pthread_join(threads[i], NULL));
	}
	return 0;
}
