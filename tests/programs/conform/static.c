/* SPDX-License-Identifier: GPL-2.0-only */
/* Nothing is loaded, so nothing can be preloaded. */
#include "conform.h"

static int check(void)
{
	char text[6] = "";

	SEEN(raw);
	FILE *file = fopen(HELLO, "r");
	CHECK(file && fgets(text, sizeof(text), file) && !strcmp(text, "Hello") && !fclose(file));
	return 0;
}
