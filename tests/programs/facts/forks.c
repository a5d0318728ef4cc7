/* SPDX-License-Identifier: GPL-2.0-only */
/* After fork the child leaves the parent's kernel alone; the parent does not notice it. */
#include "fact.h"
#include <spawn.h>

extern char **environ;

static int check(void)
{
	char got[8], *spawned[] = { "/bin/sh", "-c", "exit 5", NULL };
	int fd = open(at(D, "forked"), O_CREAT | O_RDWR, 0644), pipes[2];
	pid_t child;

	CHECK(fd >= 0 && write(fd, "parent", 6) == 6 && !pipe(pipes));
	fflush(stdout);
	if (!(child = fork())) {
		FAILS(write(fd, "child", 5), EIO);
		FAILS(pread(fd, got, 5, 0), EIO);
		FAILS(lseek(fd, 0, SEEK_SET), EIO);
		FAILS(open(at(D, "hello.txt"), O_RDONLY), EIO);
		FAILS(mkdir(at(D, "childs"), 0755), EIO);
		/* the host is as ever */
		int host = open(at(H, "child"), O_CREAT | O_RDWR, 0644);
		CHECK(host >= 0 && write(host, "host", 4) == 4 && !close(host) && write(pipes[1], "x", 1) == 1);
		CHECK(!close(fd));
		_exit(17);
	}
	CHECK(WEXITSTATUS(status_of(child)) == 17 && read(pipes[0], got, 1) == 1);
	CHECK(write(fd, " lives", 6) == 6 && pread(fd, got, 6, 6) == 6 && !memcmp(got, " lives", 6));
	if (!(child = fork()))
		exit(0); /* the child's exit handlers must not unmount the parent's image */
	CHECK(status_of(child) == 0 && !fsync(fd) && !mkdir(at(D, "after"), 0755));
	if (!(child = fork()))
		abort();
	CHECK(WTERMSIG(status_of(child)) == SIGABRT && !rmdir(at(D, "after")));
	if (!(child = vfork()))
		_exit(3);
	CHECK(WEXITSTATUS(status_of(child)) == 3 && WEXITSTATUS(system("exit 4")) == 4);
	CHECK(!posix_spawn(&child, spawned[0], NULL, NULL, spawned, environ) && WEXITSTATUS(status_of(child)) == 5);
	FILE *from = popen("echo popen", "r");
	CHECK(from && fgets(got, sizeof(got), from) && !strcmp(got, "popen\n") && !pclose(from));
	CHECK(!access(at(D, "hello.txt"), F_OK) && !close(fd));
	return 0;
}
