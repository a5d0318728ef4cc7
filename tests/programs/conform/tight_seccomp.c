/* SPDX-License-Identifier: GPL-2.0-only */
/* A filter that allows what the program itself does, and kills for everything else: no call may be made that the program
 * does not make, for sites that are met only under the filter neither. */
#include "conform.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void confined(int way)
{
	struct sock_filter rows[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_getppid),
		ALLOW(SYS_getpgrp),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog filter = { sizeof(rows) / sizeof(rows[0]), rows };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (way ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0))
		_exit(2);
	for (int i = 0; i < 3; i++) {
		if (getppid() <= 0 || raw(SYS_getppid, 0, 0, 0, 0, 0, 0) <= 0 || getpgrp() < 0)
			_exit(3);
	}
	raw(SYS_exit_group, 7, 0, 0, 0, 0, 0);
}

/* A filter for a program that changes its handlers: the first of them is changed under it. */
static void handlers(void)
{
	struct sock_filter rows[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_rt_sigaction),
		ALLOW(SYS_rt_sigprocmask),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog filter = { sizeof(rows) / sizeof(rows[0]), rows };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0))
		_exit(2);
	if (signal(SIGUSR2, SIG_IGN) != SIG_DFL || signal(SIGUSR2, SIG_DFL) != SIG_IGN)
		_exit(3);
	raw(SYS_exit_group, 7, 0, 0, 0, 0, 0);
}

static int check(void)
{
	for (int way = 0; way < 3; way++) {
		pid_t child = fork();
		CHECK(child >= 0);
		if (!child && way == 2)
			handlers();
		if (!child)
			confined(way);
		int end = end_of(child);
		if (!WIFEXITED(end) || WEXITSTATUS(end) != 7)
			printf("way %d: status %#x\n", way, end);
		CHECK(WIFEXITED(end) && WEXITSTATUS(end) == 7);
	}
	return 0;
}
