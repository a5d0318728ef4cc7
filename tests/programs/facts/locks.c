/* SPDX-License-Identifier: GPL-2.0-only */
/* /proc/locks: locks of files of the directory and of the host, those that wait, and the processes that hold them. */
#include "fact.h"
#include <sys/sysmacros.h>

static char text[1 << 20];

/* The table's line of this kind for an open file, "PID START END" of it; what precedes the kind says who waits. */
static int has(int fd, const char *kind, pid_t pid, const char *range)
{
	char expected[256];
	struct stat st;
	ssize_t len = 0, n;
	int table = open("/proc/locks", O_RDONLY | O_CLOEXEC);

	CHECK(table >= 0 && !fstat(fd, &st));
	while ((n = read(table, text + len, sizeof(text) - 1 - len)) > 0)
		len += n;
	text[len] = 0;
	snprintf(expected, sizeof(expected), ": %s %d %02x:%02x:%lu %s\n", kind, pid, major(st.st_dev), minor(st.st_dev), st.st_ino, range);
	CHECK(n == 0 && !close(table));
	return strstr(text, expected) != NULL;
}

static void each(const char *path)
{
	struct flock part = { F_WRLCK, SEEK_SET, 10, 5, 0 }, all = { F_RDLCK, SEEK_SET, 0, 0, 0 };
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600), again = open(path, O_RDWR | O_CLOEXEC);
	pid_t child;

	CHECK(fd >= 0 && again >= 0 && !fcntl(fd, F_SETLK, &part) && has(fd, "POSIX  ADVISORY  WRITE", getpid(), "10 14"));
	CHECK(!flock(fd, LOCK_SH) && has(fd, "FLOCK  ADVISORY  READ", getpid(), "0 EOF"));
	CHECK((child = fork()) >= 0);
	if (!child) {
		all.l_type = F_WRLCK;
		fcntl(fd, F_SETLKW, &all);
		_exit(0);
	}
	EVENTUALLY(has(fd, "-> POSIX  ADVISORY  WRITE", child, "0 EOF"));
	part.l_type = F_UNLCK;
	CHECK(!fcntl(fd, F_SETLK, &part) && status_of(child) == 0 && !has(fd, "POSIX  ADVISORY  WRITE", getpid(), "10 14"));
	CHECK(!fcntl(again, F_OFD_SETLK, &all) && has(fd, "OFDLCK ADVISORY  READ", -1, "0 EOF"));
	CHECK(!flock(fd, LOCK_UN) && !close(again) && !has(fd, "OFDLCK ADVISORY  READ", -1, "0 EOF"));
	CHECK(!close(fd) && !unlink(path));
}

static int check(void)
{
	each(at(D, "locked"));
	each(at(H, "locked"));
	return 0;
}
