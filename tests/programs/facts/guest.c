/* SPDX-License-Identifier: GPL-2.0-only */
/* Served only: what lies in a mount is out of reach for a process that shares its parent's memory while both run. */
#include "fact.h"
#include <sched.h>
#include <sys/syscall.h>

static char stack[256 << 10] __attribute__((aligned(64)));
static int fd;

static int wants(void *arg)
{
	struct stat st;
	char byte;

	(void)arg;
	if (stat(D, &st) != -1 || errno != EIO)
		return 1;
	if (open(at("/tmp/..", D), O_RDONLY) != -1 || errno != EIO)
		return 2;
	if (pread(fd, &byte, 1, 0) != -1 || errno != EIO)
		return 3;
	if (openat(fd, "x", O_RDONLY) != -1 || errno != EIO)
		return 4;
	if (stat(".", &st) != -1 || errno != EIO)
		return 5;
	if (stat("/", &st) || open("/dev/null", O_RDONLY) < 0)
		return 6;
	if (fork() != -1 || errno != ENOSYS)
		return 7;
	if (execl("/bin/true", "true", NULL) != -1 || errno != ENOSYS)
		return 8;
	return 0;
}

static int check(void)
{
	int status, child;
	char byte;

	CHECK(!chdir(D) && (fd = open("file-of-mount", O_CREAT | O_RDWR, 0644)) >= 0 && write(fd, "x", 1) == 1);
	for (int i = 0; i < 50; i++) {
		child = clone(wants, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL, NULL, NULL, NULL);
		CHECK(child > 0 && waitpid(child, &status, 0) == child);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		CHECK(pread(fd, &byte, 1, 0) == 1 && byte == 'x');
	}
	return 0;
}
