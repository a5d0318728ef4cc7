// SPDX-License-Identifier: GPL-2.0-only
/* Reads a file again and again, some functions deep. For debuggers and profilers, which look at it from outside. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((noinline, noipa)) int innermost(int fd)
{
	char bytes[16];
	return pread(fd, bytes, sizeof(bytes), 0) > 0;
}

__attribute__((noinline, noipa)) int between(int fd)
{
	return innermost(fd) + 1;
}

int main(int argc, char **argv)
{
	int fd = open(argv[1], O_RDONLY);

	if (fd < 0 || !between(fd))
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		between(fd);
		usleep(1000);
	}
}
