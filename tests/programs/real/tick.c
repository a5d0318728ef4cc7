/* SPDX-License-Identifier: GPL-2.0-only */
/* Preloaded: a signal every millisecond, handled and restarted, in every program. SIGURG, because programs leave it alone,
 * and because where nobody handles it (after an exec, before this) it does nothing. */
#include <signal.h>
#include <time.h>

static void tick(int number)
{
	(void)number;
}

__attribute__((constructor)) static void start(void)
{
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGURG };
	struct itimerspec every = { { 0, 1000000 }, { 0, 1000000 } };
	timer_t timer;

	sigaction(SIGURG, &action, 0);
	if (!timer_create(CLOCK_MONOTONIC, &event, &timer))
		timer_settime(timer, 0, &every, 0);
}
