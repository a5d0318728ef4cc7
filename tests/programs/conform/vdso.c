/* SPDX-License-Identifier: GPL-2.0-only */
/* What the vDSO answers is answered there, and plausible. */
#include "conform.h"

static int check(void)
{
	struct timespec before, by_call, after;
	struct timeval day;
	unsigned cpu, node;

	for (int i = 0; i < 1000; i++) {
		CHECK(!clock_gettime(CLOCK_MONOTONIC, &before));
		CHECK(!raw(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&by_call, 0, 0, 0, 0));
		CHECK(!clock_gettime(CLOCK_MONOTONIC, &after));
		long long a = before.tv_sec * 1000000000LL + before.tv_nsec, b = by_call.tv_sec * 1000000000LL + by_call.tv_nsec;
		long long c = after.tv_sec * 1000000000LL + after.tv_nsec;
		CHECK(a <= b && b <= c);
	}
	CHECK(!gettimeofday(&day, NULL) && labs(day.tv_sec - time(NULL)) <= 1 && !getcpu(&cpu, &node));
	CHECK(!clock_getres(CLOCK_REALTIME, &by_call) && by_call.tv_sec == 0);
	CHECK(getauxval(AT_SYSINFO_EHDR) && !memcmp((void *)getauxval(AT_SYSINFO_EHDR), "\177ELF", 4));
	/* its pages are as the kernel made them */
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	int found = 0;
	CHECK(maps);
	while (fgets(line, sizeof(line), maps))
		found += strstr(line, "[vdso]") && strstr(line, " r-xp ");
	CHECK(found == 1 && !fclose(maps));
	return 0;
}
