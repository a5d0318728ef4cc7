/* SPDX-License-Identifier: GPL-2.0-only */
/* inotify(7): one descriptor that watches the directory under test and one of the host. */
#include "fact.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/select.h>

#define EVENT sizeof(struct inotify_event)
#define ALL (IN_ALL_EVENTS & ~(IN_ACCESS | IN_OPEN | IN_CLOSE_NOWRITE))

/* What was read of a descriptor, in order. */
struct seen { int wd; uint32_t mask, cookie; char name[64]; int taken; };
static struct seen seen[4096];
static int count;
/* Whether the watch of a number is one of the directory under test. */
static int is_tested[256];

static void take_apart(const char *buffer, ssize_t size)
{
	for (ssize_t at = 0; at < size;) {
		const struct inotify_event *event = (const void *)(buffer + at);
		struct seen *to = &seen[count++];

		CHECK(at + (ssize_t)EVENT <= size && event->len % EVENT == 0 && count < 4000);
		*to = (struct seen){ .wd = event->wd, .mask = event->mask, .cookie = event->cookie };
		if (event->len)
			snprintf(to->name, sizeof(to->name), "%s", event->name);
		at += EVENT + event->len;
		CHECK(at <= size);
	}
}

/* Reads all that there is. */
static void fetch(int fd)
{
	char buffer[4096] __attribute__((aligned(8)));
	struct pollfd one = { fd, POLLIN, 0 };

	while (poll(&one, 1, 0) == 1) {
		ssize_t n = read(fd, buffer, sizeof(buffer));
		CHECK(n > 0);
		take_apart(buffer, n);
	}
}

static struct seen *next_of(int wd)
{
	for (int i = 0; i < count; i++)
		if (!seen[i].taken && (seen[i].wd < 0 || is_tested[seen[i].wd] == is_tested[wd]))
			return &seen[i];
	return NULL;
}

/* The next event of this watch's directory tree is this one. Its cookie. */
#define IS_NEXT(w, m, n) ({ \
	struct seen *next = next_of(w); \
	if (!next || next->wd != (w) || next->mask != (uint32_t)(m) || strcmp(next->name, n)) { \
		printf("%s:%d: not the next event: %d %x '%s', but %d %x '%s'\n", __FILE__, __LINE__, w, (unsigned)(m), n, \
		       next ? next->wd : -2, next ? next->mask : 0, next ? next->name : ""); \
		fflush(stdout); \
		_exit(1); \
	} \
	next->taken = 1; \
	next->cookie; })

static void nothing_left(int fd)
{
	struct pollfd one = { fd, POLLIN, 0 };
	int left = -1;

	CHECK(!ioctl(fd, FIONREAD, &left) && left == 0);
	CHECK(poll(&one, 1, 0) == 0);
	for (int i = 0; i < count; i++)
		CHECK(seen[i].taken);
	count = 0;
}

static int watch(int fd, const char *path, uint32_t mask)
{
	int wd = inotify_add_watch(fd, path, mask);

	CHECK(wd > 0 && wd < 256);
	is_tested[wd] = !strncmp(path, D, strlen(D));
	return wd;
}

static void make(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);

	CHECK(fd >= 0 && !close(fd));
}

static void write_to(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	CHECK(fd >= 0 && write(fd, "x", 1) == 1 && !close(fd));
}

static void both_worlds(void)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char byte[4096];

	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	FAILS(inotify_init1(1), EINVAL);
	int h = watch(fd, H, ALL), d = watch(fd, D, ALL);
	CHECK(!mkdir(at(D, "in"), 0700) && !mkdir(at(H, "in"), 0700));
	int hin = watch(fd, at(H, "in"), ALL), din = watch(fd, at(D, "in"), ALL);
	/* as one kernel numbers them; what is watched already keeps its number */
	CHECK(h == 1 && d == 2 && hin == 3 && din == 4);
	CHECK(watch(fd, D, ALL) == d && watch(fd, H, ALL) == h);
	FAILS(inotify_add_watch(fd, at(H, "missing"), ALL), ENOENT);
	FAILS(inotify_add_watch(fd, at(D, "missing"), ALL), ENOENT);
	fetch(fd);
	IS_NEXT(d, IN_CREATE | IN_ISDIR, "in");
	IS_NEXT(h, IN_CREATE | IN_ISDIR, "in");
	FAILS(read(fd, byte, sizeof(byte)), EAGAIN);

	make(at(D, "a"));
	make(at(H, "a"));
	write_to(at(D, "a"));
	write_to(at(H, "a"));
	CHECK(!rename(at(D, "a"), at(D, "in/b")) && !rename(at(H, "a"), at(H, "in/b")));
	CHECK(!unlink(at(D, "in/b")) && !unlink(at(H, "in/b")));
	fetch(fd);
	int in[2] = { hin, din }, out[2] = { h, d };
	for (int i = 0; i < 2; i++) {
		IS_NEXT(out[i], IN_CREATE, "a");
		IS_NEXT(out[i], IN_CLOSE_WRITE, "a");
		IS_NEXT(out[i], IN_MODIFY, "a");
		IS_NEXT(out[i], IN_CLOSE_WRITE, "a");
		uint32_t cookie = IS_NEXT(out[i], IN_MOVED_FROM, "a");
		CHECK(cookie != 0 && IS_NEXT(in[i], IN_MOVED_TO, "b") == cookie);
		IS_NEXT(in[i], IN_DELETE, "b");
	}
	nothing_left(fd);

	/* a watch that ends */
	CHECK(!inotify_rm_watch(fd, d) && !inotify_rm_watch(fd, h));
	FAILS(inotify_rm_watch(fd, d), EINVAL);
	FAILS(inotify_rm_watch(fd, h), EINVAL);
	FAILS(inotify_rm_watch(fd, INT_MAX), EINVAL);
	FAILS(inotify_rm_watch(fd, -1), EINVAL);
	CHECK(!rmdir(at(D, "in")) && !rmdir(at(H, "in")));
	fetch(fd);
	IS_NEXT(d, IN_IGNORED, "");
	IS_NEXT(h, IN_IGNORED, "");
	for (int i = 0; i < 2; i++) {
		IS_NEXT(in[i], IN_DELETE_SELF, "");
		IS_NEXT(in[i], IN_IGNORED, "");
	}
	nothing_left(fd);
	int again = watch(fd, H, ALL), last = watch(fd, D, ALL);
	CHECK(again == 5 && last == 6 && !close(fd));
}

static void masks(const char *root)
{
	int fd = inotify_init1(IN_NONBLOCK), file = open(at(root, "m"), O_CREAT | O_RDWR, 0600);

	FAILS(inotify_add_watch(fd, at(root, "m"), IN_ONLYDIR | IN_MODIFY), ENOTDIR);
	FAILS(inotify_add_watch(fd, at(root, "m"), 0), EINVAL);
	FAILS(inotify_add_watch(fd, at(root, "m"), IN_IGNORED << 4 | IN_MODIFY), EINVAL);
	FAILS(inotify_add_watch(fd, at(root, "m"), IN_MODIFY | IN_MASK_ADD | 0x10000000), EINVAL);
	FAILS(inotify_add_watch(file, at(root, "m"), IN_MODIFY), EINVAL);
	FAILS(inotify_add_watch(-1, at(root, "m"), IN_MODIFY), EBADF);
	FAILS(inotify_add_watch(fd, NULL, IN_MODIFY), EFAULT);
	FAILS(inotify_add_watch(fd, "", IN_MODIFY), ENOENT);
	FAILS(inotify_rm_watch(file, 1), EINVAL);
	FAILS(inotify_rm_watch(-1, 1), EBADF);
	CHECK(watch(fd, root, IN_ONLYDIR | IN_MOVE) == 1);
	CHECK(watch(fd, root, IN_CREATE | IN_MASK_ADD) == 1);
	FAILS(inotify_add_watch(fd, root, IN_CREATE | 0x10000000), EEXIST);
	CHECK(!rename(at(root, "m"), at(root, "n")));
	make(at(root, "o"));
	fetch(fd);
	uint32_t cookie = IS_NEXT(1, IN_MOVED_FROM, "m");
	CHECK(IS_NEXT(1, IN_MOVED_TO, "n") == cookie);
	IS_NEXT(1, IN_CREATE, "o");
	/* without IN_MASK_ADD the mask is replaced */
	CHECK(watch(fd, root, IN_DELETE) == 1);
	make(at(root, "p"));
	CHECK(!unlink(at(root, "p")));
	fetch(fd);
	IS_NEXT(1, IN_DELETE, "p");
	/* a link, and what it leads to */
	CHECK(!symlink("o", at(root, "link-to")));
	int link = watch(fd, at(root, "link-to"), IN_DONT_FOLLOW | IN_DELETE_SELF), to = watch(fd, at(root, "link-to"), IN_MODIFY | IN_ONESHOT);
	CHECK(link == 2 && to == 3);
	write_to(at(root, "o"));
	write_to(at(root, "o"));
	CHECK(!unlink(at(root, "link-to")));
	fetch(fd);
	IS_NEXT(to, IN_MODIFY, "");
	IS_NEXT(to, IN_IGNORED, "");
	struct seen *next = next_of(1);
	/* the order of these two is the file system's affair */
	if (next && next->wd == link) {
		IS_NEXT(link, IN_DELETE_SELF, "");
		IS_NEXT(link, IN_IGNORED, "");
		IS_NEXT(1, IN_DELETE, "link-to");
	} else {
		IS_NEXT(1, IN_DELETE, "link-to");
		IS_NEXT(link, IN_DELETE_SELF, "");
		IS_NEXT(link, IN_IGNORED, "");
	}
	/* a file without a name any more */
	CHECK(watch(fd, root, IN_MODIFY | IN_EXCL_UNLINK) == 1);
	CHECK(pwrite(file, "y", 1, 0) == 1 && !unlink(at(root, "n")) && pwrite(file, "y", 1, 0) == 1);
	int self = watch(fd, at(root, "o"), ALL);
	CHECK(!unlink(at(root, "o")));
	fetch(fd);
	IS_NEXT(1, IN_MODIFY, "n");
	IS_NEXT(self, IN_ATTRIB, "");
	IS_NEXT(self, IN_DELETE_SELF, "");
	IS_NEXT(self, IN_IGNORED, "");
	nothing_left(fd);
	/* by the name of a descriptor */
	int directory = open(root, O_RDONLY | O_DIRECTORY);
	char name[64];
	snprintf(name, sizeof(name), "/proc/self/fd/%d", directory);
	CHECK(inotify_add_watch(fd, name, IN_CREATE) == 1);
	make(at(root, "q"));
	CHECK(!unlink(at(root, "q")));
	/* relative to the current directory */
	int here = open(".", O_RDONLY);
	CHECK(!fchdir(directory) && inotify_add_watch(fd, ".", IN_CREATE) == 1 && !fchdir(here) && !close(here));
	fetch(fd);
	IS_NEXT(1, IN_CREATE, "q");
	nothing_left(fd);
	CHECK(!close(directory) && !close(file) && !close(fd));
}

static void small_buffers(void)
{
	int fd = inotify_init1(IN_NONBLOCK), left;
	char buffer[256] __attribute__((aligned(8)));

	int d = watch(fd, D, IN_CREATE | IN_DELETE), h = watch(fd, H, IN_CREATE | IN_DELETE);
	int file = (make(at(D, "file")), watch(fd, at(D, "file"), IN_MODIFY));
	make(at(H, "file"));
	write_to(at(D, "file"));
	/* two with a name of up to 15 bytes, and one without a name */
	CHECK(!ioctl(fd, FIONREAD, &left) && left == 5 * EVENT);
	int sizes = 0;
	FAILS(read(fd, buffer, EVENT - 1), EINVAL);
	for (int i = 0; i < 3; i++) {
		ssize_t n = read(fd, buffer, EVENT);
		if (n < 0) {
			int why = errno;
			CHECK(why == EINVAL);
			n = read(fd, buffer, 2 * EVENT);
		}
		CHECK(n == EVENT || n == 2 * EVENT);
		take_apart(buffer, n);
		sizes += n;
		CHECK(!ioctl(fd, FIONREAD, &left) && left == 5 * (int)EVENT - sizes);
	}
	FAILS(read(fd, buffer, sizeof(buffer)), EAGAIN);
	IS_NEXT(d, IN_CREATE, "file");
	IS_NEXT(file, IN_MODIFY, "");
	IS_NEXT(h, IN_CREATE, "file");
	/* equal events in a row are one */
	write_to(at(D, "file"));
	write_to(at(D, "file"));
	CHECK(read(fd, buffer, sizeof(buffer)) == EVENT);
	FAILS(read(fd, buffer, sizeof(buffer)), EAGAIN);
	/* a part for each event */
	CHECK(!unlink(at(D, "file")) && !unlink(at(H, "file")));
	struct iovec parts[4] = { { buffer, 2 * EVENT }, { buffer, 0 }, { buffer + 64, EVENT }, { buffer + 128, 128 } };
	ssize_t n = readv(fd, parts, 4);
	CHECK(n >= (int)EVENT);
	for (int i = 0; i < 4 && n > 0; n -= parts[i++].iov_len)
		take_apart(parts[i].iov_base, n < (int)parts[i].iov_len ? n : (int)parts[i].iov_len);
	fetch(fd);
	/* the file's watch has ended with the file */
	struct seen *ignored = NULL;
	for (int i = 0; i < count; i++)
		if (!seen[i].taken && seen[i].wd == file)
			ignored = &seen[i];
	CHECK(ignored && ignored->mask == IN_IGNORED);
	ignored->taken = 1;
	IS_NEXT(d, IN_DELETE, "file");
	IS_NEXT(h, IN_DELETE, "file");
	nothing_left(fd);
	/* a bad buffer takes an event with it */
	make(at(D, "file"));
	make(at(D, "file2"));
	make(at(H, "file"));
	char *volatile bad = (char *)8;
	while (read(fd, bad, 4096) < 0 && errno == EFAULT)
		;
	FAILS(read(fd, buffer, sizeof(buffer)), EAGAIN);
	make(at(D, "file3"));
	fetch(fd);
	IS_NEXT(d, IN_CREATE, "file3");
	FAILS(pread(fd, buffer, sizeof(buffer), 0), ESPIPE);
	FAILS(write(fd, buffer, 1), EBADF);
	CHECK(!unlink(at(D, "file")) && !unlink(at(D, "file2")) && !unlink(at(D, "file3")) && !unlink(at(H, "file")));
	CHECK(!close(fd));
}

static void many(void)
{
	int fd = inotify_init1(IN_NONBLOCK), d = watch(fd, D, IN_CREATE | IN_DELETE), h = watch(fd, H, IN_CREATE | IN_DELETE);
	char name[32];

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "number-%d", i);
		make(at(i % 3 ? D : H, name));
		CHECK(!unlink(at(i % 3 ? D : H, name)));
		if (i % 7 == 0) {
			char buffer[80] __attribute__((aligned(8)));
			ssize_t n = read(fd, buffer, sizeof(buffer));
			CHECK(n > 0);
			take_apart(buffer, n);
		}
	}
	fetch(fd);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "number-%d", i);
		IS_NEXT(i % 3 ? d : h, IN_CREATE, name);
		IS_NEXT(i % 3 ? d : h, IN_DELETE, name);
	}
	nothing_left(fd);
	CHECK(!close(fd));
}

static void waits(void)
{
	int fd = inotify_init(), epoll = epoll_create1(0), pipes[2];
	struct epoll_event edge = { .events = EPOLLIN | EPOLLET, .data.u64 = 7 }, got[4];
	struct pollfd both[2];
	fd_set set;

	CHECK(!pipe(pipes));
	/* in the set before its first watch in the directory under test */
	CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &edge));
	int h = watch(fd, H, IN_CREATE), d = watch(fd, D, IN_CREATE);
	CHECK(epoll_wait(epoll, got, 4, 0) == 0);
	make(at(D, "w"));
	CHECK(epoll_wait(epoll, got, 4, 1000) == 1 && got[0].data.u64 == 7 && got[0].events == EPOLLIN);
	CHECK(epoll_wait(epoll, got, 4, 0) == 0);
	both[0] = (struct pollfd){ pipes[0], POLLIN, 0 };
	both[1] = (struct pollfd){ fd, POLLIN | POLLOUT, 0 };
	CHECK(poll(both, 2, 1000) == 1 && both[1].revents == POLLIN);
	FD_ZERO(&set);
	FD_SET(fd, &set);
	CHECK(select(fd + 1, &set, NULL, NULL, NULL) == 1 && FD_ISSET(fd, &set));
	fetch(fd);
	IS_NEXT(d, IN_CREATE, "w");
	make(at(H, "w"));
	CHECK(epoll_wait(epoll, got, 4, 1000) == 1 && got[0].data.u64 == 7);
	fetch(fd);
	IS_NEXT(h, IN_CREATE, "w");
	nothing_left(fd);
	/* once */
	struct epoll_event once = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 8 };
	CHECK(!epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &once));
	make(at(D, "w2"));
	CHECK(epoll_wait(epoll, got, 4, 1000) == 1 && got[0].data.u64 == 8);
	make(at(H, "w2"));
	CHECK(epoll_wait(epoll, got, 4, 0) == 0);
	fetch(fd);
	IS_NEXT(d, IN_CREATE, "w2");
	IS_NEXT(h, IN_CREATE, "w2");
	CHECK(!unlink(at(D, "w")) && !unlink(at(D, "w2")) && !unlink(at(H, "w")) && !unlink(at(H, "w2")));
	nothing_left(fd);
	CHECK(!close(fd) && !close(epoll) && !close(pipes[0]) && !close(pipes[1]));
}

/* A thread that reads one event. */
struct reader { pthread_t thread; pid_t tid; int fd; ssize_t n; int why; char buffer[256] __attribute__((aligned(8))); };

static void *read_one(void *of)
{
	struct reader *me = of;

	__atomic_store_n(&me->tid, gettid(), __ATOMIC_SEQ_CST);
	me->n = read(me->fd, me->buffer, sizeof(me->buffer));
	me->why = errno;
	return NULL;
}

static void start(struct reader *reader, int fd)
{
	*reader = (struct reader){ .fd = fd };
	CHECK(!pthread_create(&reader->thread, NULL, read_one, reader));
	while (!__atomic_load_n(&reader->tid, __ATOMIC_SEQ_CST))
		;
	until_asleep(reader->tid);
}

static void ends_with(struct reader *reader, int wd, uint32_t mask, const char *name)
{
	CHECK(!pthread_join(reader->thread, NULL));
	CHECK(reader->n > 0);
	take_apart(reader->buffer, reader->n);
	IS_NEXT(wd, mask, name);
	nothing_left(reader->fd);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void sleepers(void)
{
	struct reader reader;
	int fd = inotify_init();

	/* it sleeps before there is a watch at all */
	start(&reader, fd);
	int d = watch(fd, D, IN_CREATE | IN_DELETE);
	make(at(D, "s"));
	ends_with(&reader, d, IN_CREATE, "s");
	start(&reader, fd);
	CHECK(!unlink(at(D, "s")));
	ends_with(&reader, d, IN_DELETE, "s");
	int h = watch(fd, H, IN_CREATE);
	start(&reader, fd);
	make(at(H, "s"));
	ends_with(&reader, h, IN_CREATE, "s");
	/* woken by another process */
	start(&reader, fd);
	pid_t child = fork();
	if (!child) {
		make(at(D, "s"));
		_exit(0);
	}
	CHECK(status_of(child) == 0);
	ends_with(&reader, d, IN_CREATE, "s");
	CHECK(!unlink(at(D, "s")) && !unlink(at(H, "s")));
	fetch(fd);
	IS_NEXT(d, IN_DELETE, "s");
	/* a signal ends the sleep, or does not */
	struct sigaction action = { .sa_handler = on_signal };
	CHECK(!sigaction(SIGUSR1, &action, NULL));
	start(&reader, fd);
	CHECK(!pthread_kill(reader.thread, SIGUSR1) && !pthread_join(reader.thread, NULL));
	CHECK(reader.n == -1 && reader.why == EINTR);
	action.sa_flags = SA_RESTART;
	CHECK(!sigaction(SIGUSR1, &action, NULL));
	start(&reader, fd);
	CHECK(!pthread_kill(reader.thread, SIGUSR1));
	until_asleep(reader.tid);
	make(at(D, "s"));
	ends_with(&reader, d, IN_CREATE, "s");
	/* cancelled */
	start(&reader, fd);
	void *end;
	CHECK(!pthread_cancel(reader.thread) && !pthread_join(reader.thread, &end) && end == PTHREAD_CANCELED);
	CHECK(!unlink(at(D, "s")));
	fetch(fd);
	IS_NEXT(d, IN_DELETE, "s");
	nothing_left(fd);
	CHECK(!close(fd));
}

static void *make_many(void *root)
{
	char name[32];

	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "storm-%d", i);
		make(at(root, name));
		CHECK(!unlink(at(root, name)));
	}
	return NULL;
}

/* What poll(2) says is ready can be read, and nothing is lost, with two threads and a process at work. */
static void storm(void)
{
	int fd = inotify_init(), d = watch(fd, D, IN_CREATE), h = watch(fd, H, IN_CREATE), deep, left;
	char buffer[128] __attribute__((aligned(8)));
	pthread_t threads[2];
	int numbers[2] = { 0, 0 };

	CHECK(!mkdir(at(D, "below"), 0700));
	CHECK(read(fd, buffer, sizeof(buffer)) > 0);
	deep = watch(fd, at(D, "below"), IN_CREATE);
	CHECK(!pthread_create(&threads[0], NULL, make_many, (void *)D) && !pthread_create(&threads[1], NULL, make_many, (void *)H));
	pid_t child = fork();
	if (!child) {
		make_many(strdup(at(D, "below")));
		_exit(0);
	}
	for (left = 1200; left > 0;) {
		struct pollfd one = { fd, POLLIN, 0 };
		CHECK(poll(&one, 1, 10000) == 1);
		ssize_t n = read(fd, buffer, sizeof(buffer));
		CHECK(n > 0);
		for (ssize_t at = 0; at < n; left--) {
			const struct inotify_event *event = (const void *)(buffer + at);
			char name[32];
			CHECK(event->wd == d || event->wd == h || event->wd == deep);
			if (event->wd != deep) {
				snprintf(name, sizeof(name), "storm-%d", numbers[event->wd == h]++);
				CHECK(!strcmp(event->name, name));
			}
			at += EVENT + event->len;
		}
	}
	CHECK(!pthread_join(threads[0], NULL) && !pthread_join(threads[1], NULL) && status_of(child) == 0);
	nothing_left(fd);
	CHECK(!rmdir(at(D, "below")) && !close(fd));
}

static volatile sig_atomic_t signals;

static void on_io(int sig)
{
	(void)sig;
	signals = signals + 1;
}

static void by_signal(void)
{
	struct sigaction action = { .sa_handler = on_io, .sa_flags = SA_RESTART };
	int fd = inotify_init1(IN_NONBLOCK), d = watch(fd, D, IN_CREATE | IN_DELETE);

	CHECK(!sigaction(SIGIO, &action, NULL) && !fcntl(fd, F_SETOWN, getpid()));
	CHECK(!fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	make(at(D, "io"));
	EVENTUALLY(signals > 0);
	CHECK(!unlink(at(D, "io")));
	fetch(fd);
	IS_NEXT(d, IN_CREATE, "io");
	IS_NEXT(d, IN_DELETE, "io");
	nothing_left(fd);
	CHECK(!close(fd));
}

static void copies(void)
{
	int fd = inotify_init1(IN_NONBLOCK), early = dup(fd), d = watch(fd, D, IN_CREATE | IN_DELETE);
	int late = fcntl(fd, F_DUPFD_CLOEXEC, 50), onto = dup2(early, 60);

	CHECK(early >= 0 && late >= 50 && onto == 60 && !close(fd));
	int h = watch(early, H, IN_CREATE);
	CHECK(d == 1 && h == 2);
	make(at(D, "c"));
	fetch(late);
	IS_NEXT(d, IN_CREATE, "c");
	nothing_left(early);
	CHECK(!unlink(at(D, "c")));
	fetch(onto);
	IS_NEXT(d, IN_DELETE, "c");
	nothing_left(late);
	CHECK(!close(early) && !close(late));
	make(at(D, "c"));
	/* a file takes the place of the last one, and another inotify descriptor the place of a file */
	int file = open(at(D, "c"), O_RDONLY);
	CHECK(dup2(file, onto) == onto && fcntl(onto, F_GETFL) >= 0);
	FAILS(inotify_rm_watch(onto, d), EINVAL);
	fd = inotify_init1(IN_NONBLOCK);
	CHECK(dup2(fd, onto) == onto && watch(onto, D, IN_DELETE) == 1 && !close(fd) && !close(file));
	CHECK(!unlink(at(D, "c")));
	fetch(onto);
	IS_NEXT(1, IN_DELETE, "c");
	nothing_left(onto);
	CHECK(!close(onto));
	FAILS(inotify_rm_watch(onto, 1), EBADF);
}

/* What the new program does with the descriptor in its role. */
static void executed(int fd)
{
	is_tested[1] = 1;
	fetch(fd);
	IS_NEXT(1, IN_CREATE, "x1");
	CHECK(watch(fd, H, IN_CREATE) == 2 && watch(fd, D, IN_CREATE | IN_DELETE) == 1);
	make(at(H, "x"));
	CHECK(!unlink(at(D, "x1")));
	fetch(fd);
	IS_NEXT(1, IN_DELETE, "x1");
	IS_NEXT(2, IN_CREATE, "x");
	nothing_left(fd);
}

static void families(void)
{
	int fd = inotify_init1(IN_NONBLOCK), late = inotify_init1(IN_NONBLOCK);
	int d = watch(fd, D, IN_CREATE | IN_DELETE);

	make(at(D, "f"));
	pid_t child = fork();
	if (!child) {
		/* what the parent has not read yet */
		fetch(fd);
		IS_NEXT(d, IN_CREATE, "f");
		nothing_left(fd);
		CHECK(watch(fd, H, IN_CREATE) == 2);
		CHECK(watch(late, D, IN_DELETE) == 1);
		_exit(0);
	}
	CHECK(status_of(child) == 0);
	nothing_left(fd);
	CHECK(!unlink(at(D, "f")));
	make(at(H, "f"));
	fetch(fd);
	IS_NEXT(d, IN_DELETE, "f");
	IS_NEXT(2, IN_CREATE, "f");
	nothing_left(fd);
	/* the child's watch is the parent's as well */
	is_tested[1] = 1;
	fetch(late);
	IS_NEXT(1, IN_DELETE, "f");
	nothing_left(late);
	CHECK(!unlink(at(H, "f")) && !close(late));

	make(at(D, "x1"));
	child = fork();
	if (!child) {
		char role[16];
		snprintf(role, sizeof(role), "%d", fd);
		CHECK(!fcntl(fd, F_SETFD, 0));
		execl(SELF, SELF, D, H, role, NULL);
		_exit(99);
	}
	CHECK(status_of(child) == 0);
	nothing_left(fd);
	CHECK(!unlink(at(H, "x")) && !close(fd));
}

static int check(void)
{
	if (ROLE) {
		executed(atoi(ROLE));
		_exit(0);
	}
	both_worlds();
	masks(D);
	masks(H);
	small_buffers();
	many();
	waits();
	sleepers();
	storm();
	by_signal();
	copies();
	families();
	return 0;
}
