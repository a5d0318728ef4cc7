/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers that no call has get what the host gives. */
#include "conform.h"

static int check(void)
{
	const long numbers[] = { -1, -2, 9999, 400, 500, 1023, 0x40000000, 0x40000000 + 39, 0x40000000 + 512, 0x7fffffff, 0x80000000L, 1L << 32 | 39, -4096 };

	for (int round = 0; round < 2; round++)
		for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
			long result = raw(numbers[i], -1, -1, -1, -1, -1, -1);
			if (result == getpid())
				puts("our process");
			else
				printf("%#lx: %ld\n", numbers[i], result);
		}
	errno = 0;
	CHECK(syscall(-1) == -1 && errno == ENOSYS);
	return 0;
}
