/* SPDX-License-Identifier: GPL-2.0-only */
/* A constructor of a library that the program needs runs before every other. */
#include "conform.h"

extern int early_result;

static int check(void)
{
	CHECK(early_result == 1);
	return 0;
}
