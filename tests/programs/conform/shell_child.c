/* SPDX-License-Identifier: GPL-2.0-only */
/* A shell and what it runs, by system and by popen. */
#include "conform.h"

static int check(void)
{
	char command[3 * PATH_MAX], text[6] = "";

	snprintf(command, sizeof(command), "cat %s | head -c 5 | grep -q Hello && sh -c 'read a < %s && test -n \"$a\"'", HELLO, HELLO);
	CHECK(system(command) == 0);
	snprintf(command, sizeof(command), "cat %s", HELLO);
	FILE *pipe = popen(command, "r");
	CHECK(pipe && fgets(text, sizeof(text), pipe) && !strcmp(text, "Hello"));
	while (fgetc(pipe) != EOF)
		;
	CHECK(pclose(pipe) == 0);
	return 0;
}
