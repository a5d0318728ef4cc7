/* SPDX-License-Identifier: GPL-2.0-only */
/* Ends while other threads are inside the kernel: some at work, some blocked for ever. The second argument says how:
 * "return", "exit", "_exit", "kill" (by SIGTERM to itself), "wait" (says ready, to be killed from outside). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const char *dir;
static _Atomic int running;

static void *busy(void *arg)
{
	char path[4096], block[4096];

	snprintf(path, sizeof(path), "%s/busy%ld", dir, (long)arg);
	memset(block, 'b', sizeof(block));
	int fd = open(path, O_CREAT | O_RDWR, 0644);
	running++;
	for (unsigned n = 0;; n++) {
		if (pwrite(fd, block, sizeof(block), n % 100 * 4096) != sizeof(block))
			_exit(98);
		if (n % 50 == 0)
			fsync(fd);
	}
}

static void *lock(void *arg)
{
	char path[4096];

	(void)arg;
	snprintf(path, sizeof(path), "%s/lock", dir);
	int fd = open(path, O_CREAT | O_RDWR, 0644);
	running++;
	flock(fd, LOCK_EX); /* main holds it */
	_exit(97);
}

static void *named_pipe(void *arg)
{
	char path[4096], byte;

	(void)arg;
	snprintf(path, sizeof(path), "%s/fifo", dir);
	running++;
	int fd = open(path, O_RDONLY); /* nobody writes */
	read(fd, &byte, 1);
	_exit(96);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char path[4096];
	const char *way = argv[argc - 1];

	dir = argv[1];
	snprintf(path, sizeof(path), "%s/lock", dir);
	int fd = open(path, O_CREAT | O_RDWR, 0644);
	if (fd < 0 || flock(fd, LOCK_EX))
		return 99;
	for (long i = 0; i < 3; i++)
		pthread_create(&thread, NULL, busy, (void *)i);
	pthread_create(&thread, NULL, lock, NULL);
	pthread_create(&thread, NULL, named_pipe, NULL);
	while (running < 5)
		usleep(1000);
	usleep(30000);
	snprintf(path, sizeof(path), "%s/done", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	if (write(fd, "done", 4) != 4)
		return 95;
	if (!strcmp(way, "exit"))
		exit(4);
	if (!strcmp(way, "_exit"))
		_exit(5);
	if (!strcmp(way, "kill"))
		raise(SIGTERM);
	if (!strcmp(way, "wait")) {
		write(1, "ready\n", 6);
		pause();
	}
	return 3;
}
