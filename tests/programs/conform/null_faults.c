/* SPDX-License-Identifier: GPL-2.0-only */
/* Page 0 is not there: a call of NULL and a read of NULL fault, and say where. */
#include "conform.h"

static sigjmp_buf jump;
static void *volatile address;
static volatile uintptr_t ip;

static void handler(int number, siginfo_t *info, void *context)
{
	(void)number;
	address = info->si_addr;
	ip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	siglongjmp(jump, 1);
}

static int check(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	unsigned long first, least = 0;

	SEEN(raw);
	CHECK(!sigaction(SIGSEGV, &action, NULL));
	for (long at = 0; at < 500; at += 39) {
		void (*volatile nothing)(void) = (void (*)(void))at;
		address = (void *)1;
		if (!sigsetjmp(jump, 1)) {
			nothing();
			CHECK(!"came back");
		}
		CHECK(address == (void *)at && ip == (uintptr_t)at);
		address = (void *)1;
		if (!sigsetjmp(jump, 1)) {
			(void)*(volatile char *)at;
			CHECK(!"came back");
		}
		CHECK(address == (void *)at);
	}
	FILE *maps = fopen("/proc/self/maps", "r"), *limit = fopen("/proc/sys/vm/mmap_min_addr", "r");
	CHECK(maps && fscanf(maps, "%lx", &first) == 1 && first >= 4096);
	if (limit)
		CHECK(fscanf(limit, "%lu", &least) == 1 && first >= least);
	return 0;
}
