/* SPDX-License-Identifier: GPL-2.0-only */
/* libc's functions, and the calls that libc makes inside itself. */
#include "conform.h"

static long by_name(long nr, long a, long b, long c, long d, long e, long f)
{
	long result = syscall(nr, a, b, c, d, e, f);

	return result < 0 ? -errno : result;
}

static int check(void)
{
	char text[6] = "";
	int entries = 0;

	SEEN(by_name);
	FILE *file = fopen(HELLO, "r");
	CHECK(file && fgets(text, sizeof(text), file) && !strcmp(text, "Hello") && !fclose(file));
	DIR *directory = opendir(D);
	CHECK(directory);
	while (readdir(directory))
		entries++;
	CHECK(entries > 3 && !closedir(directory));
	return 0;
}
