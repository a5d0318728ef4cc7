/* SPDX-License-Identifier: GPL-2.0-only */
/* A child of fork has what its parent has open; its end, in any way, is not the parent's. */
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
		/* one open file: one offset */
		CHECK(write(fd, "child", 5) == 5 && pread(fd, got, 5, 6) == 5 && !memcmp(got, "child", 5));
		CHECK(lseek(fd, 0, SEEK_CUR) == 11 && !access(at(D, "hello.txt"), R_OK) && !mkdir(at(D, "childs"), 0755));
		int own = open(at(D, "own"), O_CREAT | O_RDWR, 0644), host = open(at(H, "child"), O_CREAT | O_RDWR, 0644);
		CHECK(own >= 0 && write(own, "own", 3) == 3 && !close(own));
		CHECK(host >= 0 && write(host, "host", 4) == 4 && !close(host) && write(pipes[1], "x", 1) == 1);
		CHECK(!close(fd));
		_exit(17);
	}
	CHECK(WEXITSTATUS(status_of(child)) == 17 && read(pipes[0], got, 1) == 1);
	CHECK(!rmdir(at(D, "childs")) && !unlink(at(D, "own")));
	CHECK(write(fd, " lives", 6) == 6 && pread(fd, got, 6, 11) == 6 && !memcmp(got, " lives", 6));
	/* who holds a lock is said as getpid() says it */
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET }, seen = lock;
	pid_t self = getpid();
	CHECK(!fcntl(fd, F_SETLK, &lock));
	if (!(child = fork())) {
		CHECK(!fcntl(fd, F_GETLK, &seen) && seen.l_type == F_WRLCK && seen.l_pid == self);
		FAILS(fcntl(fd, F_SETLK, &lock), EAGAIN);
		_exit(0);
	}
	CHECK(status_of(child) == 0);
	lock.l_type = F_UNLCK;
	CHECK(!fcntl(fd, F_SETLK, &lock) && !pipe(pipes));
	if (!(child = fork())) {
		lock.l_type = F_WRLCK;
		CHECK(!fcntl(fd, F_SETLK, &lock) && write(pipes[1], "x", 1) == 1);
		pause();
	}
	CHECK(read(pipes[0], got, 1) == 1 && !fcntl(fd, F_GETLK, &seen) && seen.l_pid == child);
	/* a process that is killed drops its locks */
	lock.l_type = F_WRLCK;
	CHECK(!kill(child, SIGKILL) && WTERMSIG(status_of(child)) == SIGKILL && !fcntl(fd, F_SETLKW, &lock));
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
