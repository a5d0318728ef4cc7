/* SPDX-License-Identifier: GPL-2.0-only */
/* Prints the memory in KiB that is this process's alone or of a memory file (how much of a program's file is resident is the
 * host's whim) and the number of threads: first before the directory is touched, then after. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void report(void)
{
	char line[256];
	long own = 0, shared = 0, threads = 0;
	FILE *status = fopen("/proc/self/status", "r");

	while (fgets(line, sizeof(line), status)) {
		sscanf(line, "RssAnon: %ld", &own);
		sscanf(line, "RssShmem: %ld", &shared);
		sscanf(line, "Threads: %ld", &threads);
	}
	fclose(status);
	printf("%ld %ld\n", own + shared, threads);
}

int main(int argc, char **argv)
{
	char path[4096], byte;

	(void)argc;
	report();
	snprintf(path, sizeof(path), "%s/hello.txt", argv[1]);
	int fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, &byte, 1) != 1)
		return 1;
	report();
	return 0;
}
