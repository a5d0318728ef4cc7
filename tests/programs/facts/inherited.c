/* SPDX-License-Identifier: GPL-2.0-only */
/* Signals that a program inherits as ignored are ignored, and are shown so, whether a kernel runs beside the program or not
 * (signal(7)). */
#include "fact.h"

static const int ignored[] = { SIGUSR1, SIGPIPE, SIGHUP, SIGCHLD, SIGSEGV, SIGBUS, SIGFPE, SIGSYS, 40 };
#define EACH(number) for (size_t i = 0, number; i < sizeof(ignored) / sizeof(*ignored) && (number = ignored[i]); i++)

static void *shown(int number)
{
	struct sigaction old;

	memset(&old, 0x55, sizeof(old));
	CHECK(!sigaction(number, NULL, &old));
	return old.sa_handler;
}

static void all_ignored(void)
{
	EACH(number) {
		if (shown(number) != SIG_IGN) {
			printf("signal %zu is not shown as ignored\n", number);
			_exit(1);
		}
		CHECK(!kill(getpid(), number) && !raise(number));
	}
	CHECK(shown(SIGTERM) == SIG_DFL && shown(SIGUSR2) == SIG_DFL);
}

static void as_inherited(void)
{
	all_ignored();
	CHECK(!access(at(D, "hello.txt"), F_OK));
	all_ignored();
	for (int i = 0; i < 2; i++) {
		CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN && shown(SIGUSR1) == SIG_DFL);
		CHECK(signal(SIGSEGV, SIG_DFL) == SIG_IGN && shown(SIGSEGV) == SIG_DFL);
		CHECK(signal(SIGUSR1, SIG_IGN) == SIG_DFL && signal(SIGSEGV, SIG_IGN) == SIG_DFL);
	}
	all_ignored();
	pid_t child = fork();
	if (!child) {
		all_ignored();
		_exit(7);
	}
	/* SIGCHLD is ignored: there is nothing to wait for */
	CHECK(child > 0 && waitpid(child, NULL, 0) == -1 && errno == ECHILD);
}

static void again(const char *role)
{
	execl(SELF, SELF, D, H, role, NULL);
	CHECK(!"executed");
}

static int check(void)
{
	if (!ROLE) {
		EACH(number)
			CHECK(signal(number, SIG_IGN) != SIG_ERR);
		again("first");
	}
	as_inherited();
	if (!strcmp(ROLE, "first"))
		again("second"); /* with a kernel beside the program */
	return 0;
}
