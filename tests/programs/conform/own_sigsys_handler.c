/* SPDX-License-Identifier: GPL-2.0-only */
/* The program's handler of SIGSYS gets what others send, with their data, and nothing of ours. */
#include "conform.h"

static volatile int count, code, value;

static void handler(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	count++;
	code = info->si_code;
	value = info->si_value.sival_int;
}

static int check(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO }, back;

	SEEN(raw);
	CHECK(!sigaction(SIGSYS, &action, NULL));
	SEEN(raw);
	CHECK(count == 0);
	CHECK(!sigaction(SIGSYS, NULL, &back) && back.sa_sigaction == handler && (back.sa_flags & SA_SIGINFO));
	CHECK(!kill(getpid(), SIGSYS) && count == 1 && code == SI_USER);
	CHECK(!sigqueue(getpid(), SIGSYS, (union sigval){ .sival_int = 4711 }) && count == 2 && code == SI_QUEUE && value == 4711);
	CHECK(!raise(SIGSYS) && count == 3 && code == SI_TKILL);
	SEEN(raw);
	CHECK(count == 3);
	return 0;
}
