/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls on a coroutine's stack of one page, between pages that must not be touched. */
#include "conform.h"

static ucontext_t home, away;
static volatile int wrong;

static void body(void)
{
	wrong = unseen(raw);
}

static int check(void)
{
	char *memory = pages(3, PROT_NONE);

	CHECK(!mprotect(memory + PAGE, PAGE, PROT_READ | PROT_WRITE));
	for (int i = 0; i < 10; i++) {
		wrong = -1;
		CHECK(!getcontext(&away));
		away.uc_stack.ss_sp = memory + PAGE;
		away.uc_stack.ss_size = PAGE;
		away.uc_link = &home;
		makecontext(&away, body, 0);
		CHECK(!swapcontext(&home, &away) && !wrong);
	}
	return 0;
}
