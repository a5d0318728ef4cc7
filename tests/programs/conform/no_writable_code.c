/* SPDX-License-Identifier: GPL-2.0-only */
/* Nowhere is memory writable and executable at once, and what was protected is so again. */
#include "conform.h"
#include <dlfcn.h>

static int check(void)
{
	char line[512];
	int wrong = 0;

	for (int i = 0; i < 50; i++)
		SEEN(raw);
	FILE *maps = fopen("/proc/self/maps", "r");
	CHECK(maps);
	while (fgets(line, sizeof(line), maps)) {
		char rights[8], *name = strchr(line, '/');
		CHECK(sscanf(line, "%*s %7s", rights) == 1);
		if (rights[1] == 'w' && rights[2] == 'x') {
			printf("%s", line);
			wrong = 1;
		}
		/* the text of what others use, too, is read and executed */
		if (name && (strstr(name, "/libc.so") || strstr(name, "no_writable_code")) && rights[2] == 'x' && rights[0] != 'r') {
			printf("%s", line);
			wrong = 1;
		}
	}
	return wrong;
}
