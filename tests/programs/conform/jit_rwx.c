/* SPDX-License-Identifier: GPL-2.0-only */
/* Code written into memory that is writable and executable at once. */
#include "conform.h"

static int check(void)
{
	for (int i = 0; i < 3; i++) {
		unsigned char *code = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);

		memcpy(code + 100 * i, DOOR, sizeof(DOOR));
		SEEN((door *)(code + 100 * i));
		CHECK(!memcmp(code + 100 * i, DOOR, sizeof(DOOR)));
	}
	return 0;
}
