/* SPDX-License-Identifier: GPL-2.0-only */
/* An instruction in the program's own text. */
#include "conform.h"

static int check(void)
{
	SEEN(raw);
	return 0;
}
