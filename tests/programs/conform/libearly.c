/* SPDX-License-Identifier: GPL-2.0-only */
/* A library whose constructor reads the file, before the program's own constructors. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int early_result = -1;

__attribute__((constructor)) static void early(int argc, char **argv)
{
	char path[4096], text[5] = "";

	if (argc < 2)
		return;
	snprintf(path, sizeof(path), "%s/hello.txt", argv[1]);
	int fd = open(path, O_RDONLY);
	early_result = fd >= 0 && read(fd, text, 5) == 5 && !memcmp(text, "Hello", 5);
	if (fd >= 0)
		close(fd);
}
