/* SPDX-License-Identifier: GPL-2.0-only */
/* Who gets the signals of an open file (fcntl(2), "Managing signals"). */
#include "fact.h"

#define NOBODY 0x3ffffff0

static void owned(int fd)
{
	struct f_owner_ex owner = { F_OWNER_TID, gettid() }, got = { -1, -1 };
	int copy = dup(fd);

	CHECK(fd >= 0 && copy >= 0 && fcntl(fd, F_GETOWN) == 0);
	CHECK(!fcntl(fd, F_SETOWN, getpid()) && fcntl(fd, F_GETOWN) == getpid() && fcntl(copy, F_GETOWN) == getpid());
	CHECK(!fcntl(fd, F_GETOWN_EX, &got) && got.type == F_OWNER_PID && got.pid == getpid());
	CHECK(!fcntl(fd, F_SETOWN_EX, &owner) && !fcntl(copy, F_GETOWN_EX, &got) && got.type == F_OWNER_TID && got.pid == gettid());
	FAILS(fcntl(fd, F_SETOWN, NOBODY), ESRCH);
	FAILS(fcntl(fd, F_SETOWN, -NOBODY), ESRCH);
	owner.type = 77;
	FAILS(fcntl(fd, F_SETOWN_EX, &owner), EINVAL);
	FAILS(fcntl(fd, F_SETOWN_EX, (void *)8), EFAULT);
	FAILS(fcntl(fd, F_GETOWN_EX, (void *)8), EFAULT);
	CHECK(!fcntl(fd, F_SETSIG, SIGUSR1) && fcntl(copy, F_GETSIG) == SIGUSR1 && !fcntl(fd, F_SETSIG, 0));
	CHECK(!fcntl(fd, F_SETOWN, 0) && fcntl(fd, F_GETOWN) == 0 && !close(copy) && !close(fd));
}

static void *in_a_thread(void *arg)
{
	(void)arg;
	owned(open(at(D, "hello.txt"), O_RDWR));
	return NULL;
}

static int check(void)
{
	pthread_t thread;

	owned(open(at(D, "hello.txt"), O_RDWR));
	owned(open(D, O_RDONLY | O_DIRECTORY));
	owned(open(at(D, "fifo"), O_RDWR | O_NONBLOCK));
	CHECK(!pthread_create(&thread, NULL, in_a_thread, NULL) && !pthread_join(thread, NULL));
	int path = open(at(D, "hello.txt"), O_PATH);
	FAILS(fcntl(path, F_SETOWN, getpid()), EBADF);
	FAILS(fcntl(path, F_GETOWN), EBADF);
	return 0;
}
