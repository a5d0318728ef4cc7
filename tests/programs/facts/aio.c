/* SPDX-License-Identifier: GPL-2.0-only */
/* Asynchronous requests by io_submit(2), on files of both places in one context. */
#include "fact.h"
#include <linux/aio_abi.h>
#include <sys/eventfd.h>

static aio_context_t context;

static struct iocb request(int op, int fd, void *bytes, size_t len, off_t offset)
{
	return (struct iocb){ .aio_lio_opcode = op, .aio_fildes = fd, .aio_buf = (uintptr_t)bytes, .aio_nbytes = len, .aio_offset = offset,
			      .aio_data = 1000 + op };
}

static long submit(int n, struct iocb **list) { return syscall(SYS_io_submit, context, n, list); }

static long events(long least, long most, struct io_event *to)
{
	struct timespec time = { 5, 0 };

	return syscall(SYS_io_getevents, context, least, most, to, &time);
}

/* One request: its result. Nothing of the request is changed. */
static long one(struct iocb r)
{
	struct iocb *list[] = { &r }, before = r;
	struct io_event event;

	if (submit(1, list) != 1)
		return -errno;
	CHECK(events(1, 1, &event) == 1 && event.obj == (uintptr_t)&r && event.data == r.aio_data && !event.res2);
	CHECK(!memcmp(&r, &before, sizeof r));
	return event.res;
}

static void *waits(void *arg)
{
	(void)arg;
	struct io_event event;

	CHECK(events(1, 1, &event) == 1 && ((struct iocb *)(uintptr_t)event.obj)->aio_nbytes == 7);
	return NULL;
}

static int check(void)
{
	int fd = open(at(D, "aio"), O_RDWR | O_CREAT | O_TRUNC, 0600), host = open(at(H, "aio"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	int readable = open(at(D, "aio"), O_RDONLY), bell = eventfd(0, 0), pipes[2];
	char got[32] = "", other[32] = "";
	uint64_t rung;

	CHECK(fd >= 0 && host >= 0 && readable >= 0 && bell >= 0 && !syscall(SYS_io_setup, 16, &context));
	CHECK(one(request(IOCB_CMD_PWRITE, fd, "of the mount", 12, 4)) == 12);
	CHECK(one(request(IOCB_CMD_PREAD, fd, got, 32, 0)) == 16 && !memcmp(got, "\0\0\0\0of the mount", 16));
	CHECK(one(request(IOCB_CMD_PREAD, fd, got, 32, 100)) == 0);
	CHECK(one(request(IOCB_CMD_FSYNC, fd, NULL, 0, 0)) == 0 && one(request(IOCB_CMD_FDSYNC, fd, NULL, 0, 0)) == 0);
	struct iovec parts[] = { { got, 3 }, { other, 5 } };
	CHECK(one(request(IOCB_CMD_PREADV, fd, parts, 2, 4)) == 8 && !memcmp(got, "of ", 3) && !memcmp(other, "the m", 5));
	CHECK(one(request(IOCB_CMD_PWRITEV, fd, parts, 2, 16)) == 8 && lseek(fd, 0, SEEK_END) == 24);
	CHECK(lseek(fd, 5, SEEK_SET) == 5 && one(request(IOCB_CMD_PREAD, fd, got, 1, 0)) == 1 && lseek(fd, 0, SEEK_CUR) == 5);
	/* what is wrong, whichever way it is told */
	CHECK(one(request(IOCB_CMD_PWRITE, readable, "x", 1, 0)) == -EBADF);
	CHECK(one(request(IOCB_CMD_PREAD, fd, got, 1, -1)) == -EINVAL);
	CHECK(one(request(IOCB_CMD_PREAD, fd, (void *)8, 1, 0)) == -EFAULT);
	CHECK(one(request(99, fd, got, 1, 0)) == -EINVAL);
	CHECK(one(request(IOCB_CMD_FSYNC, fd, got, 1, 0)) == -EINVAL);
	/* both places, in order, with a bell */
	struct iocb mixed[] = { request(IOCB_CMD_PWRITE, host, "host", 4, 0), request(IOCB_CMD_PWRITE, fd, "kernel", 6, 0),
				request(IOCB_CMD_PREAD, host, got, 4, 0), request(IOCB_CMD_PREAD, fd, other, 6, 0) };
	struct iocb *list[] = { &mixed[0], &mixed[1], &mixed[2], &mixed[3] };
	struct io_event happened[8];
	for (int i = 0; i < 4; i++)
		mixed[i].aio_flags = IOCB_FLAG_RESFD, mixed[i].aio_resfd = bell;
	CHECK(submit(4, list) == 4 && events(4, 8, happened) == 4 && read(bell, &rung, 8) == 8 && rung == 4);
	CHECK(!memcmp(got, "host", 4) && !memcmp(other, "kernel", 6));
	for (int i = 0; i < 4; i++)
		CHECK(happened[i].res == (i % 2 ? 6 : 4) && happened[i].obj == (uintptr_t)list[i]);
	/* the second is wrong: the first counts */
	mixed[1].aio_lio_opcode = 99;
	CHECK(submit(4, list) == 1 && events(1, 8, happened) == 1);
	/* a pointer to nothing */
	struct iocb *wrong[] = { &mixed[0], (void *)8 };
	CHECK(submit(2, wrong) == 1 && events(1, 8, happened) == 1);
	FAILS(submit(1, wrong + 1), EFAULT);
	FAILS(syscall(SYS_io_submit, context, -1L, list), EINVAL);
	CHECK(submit(0, list) == 0);
	/* another thread waits */
	pthread_t waiter;
	struct iocb last = request(IOCB_CMD_PWRITE, fd, "waiters", 7, 0), *only[] = { &last };
	CHECK(!pthread_create(&waiter, NULL, waits, NULL));
	usleep(20000);
	CHECK(submit(1, only) == 1 && !pthread_join(waiter, NULL));
	/* as many as the context has room for are told of, and no request is lost without a word */
	long handed = 0, told = 0;
	for (int n = 0; n < 3000; n++) {
		only[0] = &last, last = request(IOCB_CMD_PWRITE, fd, "waiters", 7, 0);
		if (submit(1, only) != 1) {
			int why = errno;
			CHECK(why == EAGAIN);
			break;
		}
		handed++;
	}
	CHECK(handed >= 16 && handed < 3000);
	for (long n; told < handed && (n = events(1, 8, happened)) > 0;)
		told += n;
	CHECK(told == handed);
	/* a pipe has no positions */
	CHECK(!pipe(pipes) && !mkfifo(at(D, "aio_fifo"), 0600));
	int fifo = open(at(D, "aio_fifo"), O_RDWR);
	CHECK(fifo >= 0 && one(request(IOCB_CMD_PWRITE, fifo, "fifo", 4, 0)) == 4);
	CHECK(one(request(IOCB_CMD_PREAD, fifo, got, 32, 0)) == 4 && !memcmp(got, "fifo", 4));
	CHECK(!syscall(SYS_io_destroy, context));
	FAILS(submit(1, only), EINVAL);
	return 0;
}
