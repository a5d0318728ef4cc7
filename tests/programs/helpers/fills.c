// SPDX-License-Identifier: GPL-2.0-only
/* fills FILE OTHER: writes to FILE until that fails, then shows what still works. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char block[1 << 20];

int main(int argc, char **argv)
{
	int fd = open(argv[1], O_WRONLY | O_CREAT, 0644), i, other;

	memset(block, 'x', sizeof(block));
	for (i = 0; i < 1000 && write(fd, block, sizeof(block)) > 0; i++)
		;
	printf("write: %s\n", strerror(errno));
	errno = 0;
	open(argv[1], O_RDONLY);
	printf("open: %s\n", strerror(errno));
	other = open(argv[2], O_WRONLY | O_CREAT, 0644);
	printf("host: %zd\n", write(other, "ok", 2));
	return 0;
}
