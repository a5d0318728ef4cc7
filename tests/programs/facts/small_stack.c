/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls from a thread whose stack is as small as threads may have it, 16 KiB with all that libc keeps there. */
#include "fact.h"

static char names[4096], block[4096];

static void *work(void *unused)
{
	struct stat st;
	struct iovec iov = { block, sizeof(block) };
	int fd, dir;

	CHECK(!mkdir(at(D, "smallest"), 0755));
	CHECK((fd = open(at(D, "smallest/file"), O_CREAT | O_RDWR, 0644)) >= 0);
	for (int i = 0; i < 64; i++)
		CHECK(pwritev(fd, &iov, 1, i * 8192L) == sizeof(block));
	CHECK(!fsync(fd) && !fstat(fd, &st) && st.st_size == 63 * 8192L + 4096);
	CHECK(pread(fd, block, sizeof(block), 8192) == sizeof(block));
	CHECK(!link(at(D, "smallest/file"), at(H, "elsewhere")) || errno == EXDEV);
	CHECK(!rename(at(D, "smallest/file"), at(D, "smallest/renamed")) && !symlink("renamed", at(D, "smallest/link")));
	CHECK(!stat(at(D, "smallest/../smallest/link"), &st) && st.st_size == 63 * 8192L + 4096);
	CHECK((dir = open(at(D, "smallest"), O_RDONLY | O_DIRECTORY)) >= 0);
	CHECK(syscall(SYS_getdents64, dir, names, sizeof(names)) > 0 && !close(dir));
	CHECK(!ftruncate(fd, 0) && !close(fd) && !unlink(at(D, "smallest/link")) && !unlink(at(D, "smallest/renamed")) && !rmdir(at(D, "smallest")));
	return unused;
}

static int check(void)
{
	pthread_attr_t small;
	pthread_t thread;

	CHECK(!pthread_attr_init(&small) && !pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN));
	CHECK(!pthread_create(&thread, &small, work, NULL) && !pthread_join(thread, NULL));
	return 0;
}
