/* SPDX-License-Identifier: GPL-2.0-only */
/* Code that may be executed and not read; it stays that way. */
#include "conform.h"

static void protection_of(void *address, char *out)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");

	CHECK(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;
		char rights[8];
		if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3 && start <= (unsigned long)address && (unsigned long)address < end)
			strcpy(out, rights);
	}
	fclose(maps);
}

static int check(void)
{
	unsigned char *code = pages(1, PROT_READ | PROT_WRITE);
	char rights[8] = "";

	memcpy(code, DOOR, sizeof(DOOR));
	CHECK(!mprotect(code, PAGE, PROT_EXEC));
	SEEN((door *)code);
	protection_of(code, rights);
	CHECK(!strcmp(rights, "--xp"));
	return 0;
}
