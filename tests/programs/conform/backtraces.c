/* SPDX-License-Identifier: GPL-2.0-only */
/* A handler that looks at the stack finds its way to who made the call, wherever it interrupts. */
#include "conform.h"
#include <execinfo.h>

static volatile long whole, cut;
static void *volatile cut_at[16];
extern char __start_work_code[], __stop_work_code[];

static void handler(int number)
{
	void *frames[64];
	int saved = errno;

	(void)number;
	int count = backtrace(frames, 64);
	int found = 0;
	for (int i = 0; i < count; i++)
		found |= (char *)frames[i] >= __start_work_code && (char *)frames[i] < __stop_work_code;
	if (found)
		whole++;
	else if (cut++ == 0)
		for (int i = 0; i < count && i < 16; i++)
			cut_at[i] = frames[i];
	errno = saved;
}

__attribute__((noinline, section("work_code"))) static long work(int file, double end)
{
	char text[8];
	long calls = 0;

	while (now_s() < end)
		for (int i = 0; i < 50; i++, calls++) {
			CHECK(syscall(SYS_getppid) > 0 && pread(file, text, 5, 0) == 5);
			int other = open(HELLO, O_RDONLY);
			CHECK(other >= 0 && !close(other));
		}
	return calls;
}

static int check(void)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct itimerval every = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	double end = now_s() + 8;
	long calls = 0;
	void *first[4];
	int file = open(HELLO, O_RDONLY);

	CHECK(file >= 0 && backtrace(first, 4) > 0 && !sigaction(SIGALRM, &action, NULL));
	CHECK(!setitimer(ITIMER_REAL, &every, NULL));
	/* One in a hundred may be cut: looks enough to see that, on a busy machine too. */
	while (!cut && whole < 1000 && now_s() < end)
		calls += work(file, now_s() + 0.1);
	CHECK(!setitimer(ITIMER_REAL, &never, NULL) && calls > 100);
	if (cut) {
		printf("%ld of %ld backtraces are cut; the first:", cut, cut + whole);
		for (int i = 0; i < 16 && cut_at[i]; i++)
			printf(" %p", cut_at[i]);
		putchar('\n');
		FILE *maps = fopen("/proc/self/maps", "r");
		for (char line[256]; maps && fgets(line, sizeof(line), maps); )
			if (strstr(line, "r-xp") && (strstr(line, "stowaway") || !strchr(line, '/')))
				fputs(line, stdout);
		return 1;
	}
	CHECK(whole > 20);
	return 0;
}
