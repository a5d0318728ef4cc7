/* SPDX-License-Identifier: GPL-2.0-only */
/* What is read beyond the end of the program's own memory goes nowhere else, wherever the host put the program's memory. */
#include "fact.h"

enum { PAGE = 4096, PLACES = 64 };

static int check(void)
{
	int zero = open("/dev/zero", O_RDONLY), file, failed = 0;
	struct stat st;
	char *places[PLACES];

	CHECK(zero >= 0);
	for (int i = 0; i < PLACES; i++) {
		places[i] = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(places[i] != MAP_FAILED);
	}
	for (int i = 0; i < PLACES; i++)
		CHECK(!munmap(places[i] + PAGE, PAGE));
	/* Now whatever the mount needs is mapped, beside the buffers. */
	CHECK(!stat(D, &st));
	for (int i = 0; i < PLACES; i++) {
		ssize_t got = read(zero, places[i] + PAGE - 10, 100);
		failed += got == 10 || (got < 0 && errno == EFAULT);
	}
	CHECK(failed == PLACES);
	CHECK((file = open(at(D, "f"), O_CREAT | O_RDWR, 0644)) >= 0);
	CHECK(write(file, "data", 4) == 4 && !fsync(file) && !close(file));
	return 0;
}
