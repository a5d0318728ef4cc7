/* SPDX-License-Identifier: GPL-2.0-only */
/* Leaves a child behind that outlives the program by two seconds. */
#include "fact.h"

static int check(void)
{
	int fd = open(at(D, "before"), O_CREAT | O_RDWR, 0644);

	CHECK(fd >= 0 && write(fd, "data", 4) == 4);
	fflush(stdout);
	if (!fork()) {
		close(0), close(1), close(2);
		sleep_ms(2000);
		_exit(0);
	}
	return 0;
}
