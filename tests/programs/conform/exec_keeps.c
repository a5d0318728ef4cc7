/* SPDX-License-Identifier: GPL-2.0-only */
/* What a program inherits: blocked and ignored signals, open descriptors, its name, its words, its environment. */
#include "conform.h"

extern char **environ;

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char **)a, *(char **)b);
}

static void tell(int argc, char **argv)
{
	sigset_t blocked;
	struct sigaction action;
	int count = 0;

	printf("%d words, the first is %s\n", argc, argv[0]);
	while (environ[count])
		count++;
	qsort(environ, count, sizeof(*environ), by_text);
	for (int i = 0; i < count; i++)
		if (strncmp(environ[i], "LD_PRELOAD=", 11) && strncmp(environ[i], "STOWAWAY_", 9))
			puts(environ[i]);
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	for (int i = 1; i < 65; i++)
		if (sigismember(&blocked, i) == 1)
			printf("blocked %d\n", i);
	for (int i = 1; i < 65; i++)
		if (!sigaction(i, NULL, &action) && action.sa_handler != SIG_DFL)
			printf("signal %d is %s\n", i, action.sa_handler == SIG_IGN ? "ignored" : "handled");
	for (int i = 0; i < 1024; i++)
		if (fcntl(i, F_GETFD) >= 0)
			printf("open %d, flags %d\n", i, fcntl(i, F_GETFD));
}

static int check(void)
{
	sigset_t some;

	if (ROLE) {
		tell(4, (char *[]){ program_invocation_name });
		return 0;
	}
	sigemptyset(&some);
	sigaddset(&some, SIGUSR1);
	sigaddset(&some, SIGTERM);
	sigprocmask(SIG_SETMASK, &some, NULL);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	CHECK(open("/dev/null", O_RDONLY) >= 0 && dup2(0, 77) == 77 && open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
	char *argv[] = { "another name", (char *)D, (char *)H, "child", NULL };
	char *environment[] = { "ONE=1", "TWO=2", "EMPTY=", NULL };
	RUNS(execve(SELF, argv, environment));
	return 0;
}
