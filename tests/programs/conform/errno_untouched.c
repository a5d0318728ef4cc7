/* SPDX-License-Identifier: GPL-2.0-only */
/* An instruction of the program's own does not touch libc's errno. */
#include "conform.h"

static int check(void)
{
	char path[] = "/no/such/file";

	for (int i = 0; i < 10; i++) {
		errno = 4711;
		long first = raw(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0, 0, 0);
		long second = raw(SYS_openat, AT_FDCWD, (long)at(D, "none"), O_RDONLY, 0, 0, 0);
		long third = unseen(raw), fourth = raw(SYS_close, -1, 0, 0, 0, 0, 0);
		CHECK(first == -ENOENT && second == -ENOENT && third == 0 && fourth == -EBADF);
		errno = 4711;
		raw(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0, 0, 0);
		raw(SYS_close, -1, 0, 0, 0, 0, 0);
		if (errno != 4711) {
			printf("errno is %d\n", errno);
			return 1;
		}
	}
	return 0;
}
