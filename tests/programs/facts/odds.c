/* SPDX-License-Identifier: GPL-2.0-only */
/* Rare ways of common calls: handles of files by the current directory, stacks that grow, O_ASYNC where it has no meaning. */
#include "fact.h"

struct handle {
	struct file_handle head;
	unsigned char bytes[MAX_HANDLE_SZ];
};

static void handles(void)
{
	struct handle handle = { .head.handle_bytes = MAX_HANDLE_SZ };
	char text[8] = "";
	int mount, dir = open(D, O_RDONLY | O_DIRECTORY);

	if (name_to_handle_at(AT_FDCWD, HELLO, &handle.head, &mount, 0)) {
		/* not every file system has handles */
		int why = errno;
		CHECK(why == EOPNOTSUPP);
		return;
	}
	struct handle small = { .head.handle_bytes = 0 };
	FAILS(name_to_handle_at(AT_FDCWD, HELLO, &small.head, &mount, 0), EOVERFLOW);
	CHECK(small.head.handle_bytes == handle.head.handle_bytes);
	CHECK(!chdir(D));
	for (int way = 0; way < 2; way++) {
		int fd = open_by_handle_at(way ? dir : AT_FDCWD, &handle.head, O_RDONLY);
		if (fd < 0) {
			/* who may do so is root */
			int why = errno;
			CHECK(why == EPERM && geteuid());
			continue;
		}
		CHECK(read(fd, text, 5) == 5 && !memcmp(text, "Hello", 5) && !close(fd));
	}
	CHECK(!chdir("/") && !close(dir));
}

static __attribute__((noinline)) int deep(int n)
{
	char room[2000];
	int fd = open(HELLO, O_RDONLY);

	CHECK(fd >= 0 && read(fd, room, sizeof room) >= 5 && !memcmp(room, "Hello", 5) && !close(fd));
	return n ? deep(n - 1) + room[0] : room[1];
}

static void *grown(void *unused)
{
	return deep(50) > 0 ? unused : NULL;
}

/* A stack of a few pages that the host makes larger when it is used. */
static void growing_stack(void)
{
	const size_t first = 64 << 10, all = 512 << 10;
	char *room = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attributes;
	pthread_t thread;
	void *result;

	CHECK(room != MAP_FAILED && !munmap(room, all));
	char *low = mmap(room + all - first, first, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	CHECK(low == room + all - first);
	CHECK(!pthread_attr_init(&attributes) && !pthread_attr_setstack(&attributes, low, first));
	CHECK(!pthread_create(&thread, &attributes, grown, room) && !pthread_join(thread, &result) && result == room);
}

static void async_flag(void)
{
	int fd = open(at(D, "async"), O_RDWR | O_CREAT, 0600);

	CHECK(fd >= 0 && !fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK && !fcntl(fd, F_SETFL, 0) && !(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ASYNC)));
	CHECK(!close(fd) && !unlink(at(D, "async")));
}

static int check(void)
{
	handles();
	growing_stack();
	async_flag();
	return 0;
}
