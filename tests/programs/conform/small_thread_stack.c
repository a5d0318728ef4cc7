/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls on a thread's stack of 16 KiB, the least that libc allows. */
#include "conform.h"

static void *body(void *arg)
{
	long wrong = unseen(raw);
	int fd = open((char *)arg, O_RDONLY);

	if (fd < 0 || close(fd))
		wrong = 1;
	return (void *)wrong;
}

static int check(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	void *wrong;

	CHECK(!pthread_attr_init(&attributes) && !pthread_attr_setstacksize(&attributes, 16384));
	for (int i = 0; i < 10; i++)
		CHECK(!pthread_create(&thread, &attributes, body, HELLO) && !pthread_join(thread, &wrong) && !wrong);
	return 0;
}
