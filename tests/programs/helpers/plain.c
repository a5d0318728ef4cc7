/* SPDX-License-Identifier: GPL-2.0-only */
/* Copies a file to standard output with plain libc calls: what the hooks alone must catch. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char bytes[4096];
	ssize_t n;
	int fd = open(argv[argc - 1], O_RDONLY);

	if (fd < 0) {
		perror(argv[argc - 1]);
		return 1;
	}
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		if (write(1, bytes, n) != n)
			return 2;
	return close(fd) ? 3 : 0;
}
