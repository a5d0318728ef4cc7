/* SPDX-License-Identifier: GPL-2.0-only */
/* Holds the directory open, says so with its process id, and leaves at the end of standard input. */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char byte;
	DIR *dir = opendir(argv[argc - 1]);

	if (!dir) {
		perror(argv[argc - 1]);
		return 1;
	}
	printf("%d\n", getpid());
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
