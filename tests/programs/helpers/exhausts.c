/* SPDX-License-Identifier: GPL-2.0-only */
/* exhausts DIR KIND: takes of one kind until there is no more, or enough; each call says why with an errno for that. Then
 * gives everything back, and reads a file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *D;
static char block[1 << 16];
static int refused, wrong;
static int kept[20000], held;

static char *name(const char *stem, int i)
{
	static __thread char path[4096];

	snprintf(path, sizeof path, "%s/%s%d", D, stem, i);
	return path;
}

/* The result of a call: whether it was done. */
static int did(long result)
{
	if (result >= 0)
		return 1;
	switch (errno) {
	case ENOMEM: case ENOSPC: case ENFILE: case EMFILE: case EAGAIN: case ENOBUFS: case ENOLCK: case EMLINK:
		__atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
		return 0;
	}
	perror("a call");
	wrong = 1;
	return 0;
}

static int keep(int fd)
{
	if (!did(fd))
		return -1;
	kept[held++] = fd;
	return fd;
}

static pthread_barrier_t all_there;

static void *thread(void *number)
{
	int fd = open(name("thread", (int)(intptr_t)number), O_RDWR | O_CREAT, 0600);

	if (did(fd))
		for (int i = 0; i < 8; i++)
			did(pwrite(fd, block, 4096, i * 4096));
	pthread_barrier_wait(&all_there);
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void threads(void)
{
	enum { COUNT = 300 };
	static pthread_t made[COUNT];
	pthread_attr_t small;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 1 << 16);
	pthread_barrier_init(&all_there, NULL, COUNT);
	for (intptr_t i = 0; i < COUNT; i++)
		if (pthread_create(&made[i], &small, thread, (void *)i))
			_exit(3);
	for (int i = 0; i < COUNT; i++)
		pthread_join(made[i], NULL);
}

static void files(void)
{
	for (int i = 0; i < 10000 && keep(open(name("file", i), O_RDWR | O_CREAT, 0600)) >= 0; i++)
		;
}

static void descriptors(void)
{
	for (int i = 0; i < 10000 && keep(open(name("one", 0), O_RDWR | O_CREAT, 0600)) >= 0; i++)
		;
}

static void pipes(void)
{
	for (int i = 0; i < 1000; i++) {
		if (mkfifo(name("pipe", i), 0600) && !did(-1))
			continue;
		int fd = keep(open(name("pipe", i), O_RDWR | O_NONBLOCK));
		if (fd >= 0) {
			fcntl(fd, F_SETPIPE_SZ, 1 << 20);
			while (write(fd, block, sizeof block) > 0)
				;
			did(-1);
		}
	}
}

static struct sockaddr_in here(int fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;

	did(bind(fd, (void *)&address, len));
	did(getsockname(fd, (void *)&address, &len));
	return address;
}

static void datagrams(void)
{
	for (int i = 0; i < 1000; i++) {
		int fd = keep(socket(AF_INET, SOCK_DGRAM, 0));
		if (fd < 0)
			continue;
		struct sockaddr_in to = here(fd);
		for (int k = 0; k < 50 && did(sendto(fd, block, 60000, MSG_DONTWAIT, (void *)&to, sizeof to)); k++)
			;
	}
}

static void streams(void)
{
	int server = keep(socket(AF_INET, SOCK_STREAM, 0));
	struct sockaddr_in to = here(server);

	did(listen(server, 4096));
	for (int i = 0; i < 300; i++) {
		int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
		if (fd >= 0 && (!connect(fd, (void *)&to, sizeof to) || errno == EINPROGRESS || did(-1)))
			while (did(send(fd, block, sizeof block, MSG_DONTWAIT)))
				;
	}
}

static void watches(void)
{
	int set = keep(epoll_create1(0));

	mkfifo(name("watched", 0), 0600);
	for (int i = 0; i < 5000; i++) {
		struct epoll_event event = { .events = EPOLLIN };
		int fd = keep(open(name("watched", 0), O_RDWR | O_NONBLOCK));
		if (fd >= 0)
			did(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	}
}

static void locks(void)
{
	for (int f = 0; f < 20; f++) {
		int fd = keep(open(name("lock", f), O_RDWR | O_CREAT, 0600));
		for (int i = 0; fd >= 0 && i < 2000; i++) {
			struct flock lock = { .l_type = F_WRLCK, .l_start = i * 2, .l_len = 1 };
			did(fcntl(fd, F_SETLK, &lock));
		}
	}
}

static void directories(void)
{
	for (int i = 0; i < 3000 && did(mkdir(name("directory", i), 0700)); i++)
		did(symlink(block, name("link", i)) || 1);
}

static void pages(void)
{
	int fd = keep(open(name("pages", 0), O_RDWR | O_CREAT, 0600));
	struct iovec many[256];

	for (int i = 0; i < 256; i++)
		many[i] = (struct iovec){ block, sizeof block };
	for (int i = 0; i < 10 && did(writev(fd, many, 256)); i++)
		;
	did(ftruncate(fd, 0));
}

static void attributes(void)
{
	for (int f = 0; f < 200; f++) {
		int fd = open(name("attribute", f), O_RDWR | O_CREAT, 0600);
		for (int i = 0; did(fd) && i < 50; i++) {
			char key[32];
			snprintf(key, sizeof key, "user.key%d", i);
			did(fsetxattr(fd, key, block, 200, 0));
		}
		if (fd >= 0)
			close(fd);
	}
}

static const struct {
	const char *name;
	void (*take)(void);
} KINDS[] = {
	{ "threads", threads }, { "files", files }, { "descriptors", descriptors }, { "pipes", pipes }, { "datagrams", datagrams },
	{ "streams", streams }, { "watches", watches }, { "locks", locks }, { "directories", directories }, { "pages", pages },
	{ "attributes", attributes },
};

int main(int argc, char **argv)
{
	struct rlimit limit;

	D = argv[1];
	memset(block, 'x', sizeof block);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned i = 0; argc > 2 && i < sizeof KINDS / sizeof *KINDS; i++)
		if (!strcmp(KINDS[i].name, argv[2]))
			KINDS[i].take();
	for (int i = 0; i < held; i++)
		close(kept[i]);
	/* The image may be full. */
	char text[4096];
	snprintf(text, sizeof text, "%s/hello.txt", D);
	int fd = open(text, O_RDONLY);
	if (fd < 0 || read(fd, text, 5) != 5 || memcmp(text, "Hello", 5) || fsync(fd) || close(fd)) {
		perror("afterwards");
		return 1;
	}
	printf("%s\n", wrong ? "wrong" : refused ? "refused" : "enough");
	return 0;
}
