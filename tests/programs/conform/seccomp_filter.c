/* SPDX-License-Identifier: GPL-2.0-only */
/* A filter of the program's own: calls that fail, and calls that raise SIGSYS for its handler. */
#include "conform.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

static volatile int count, code, number_seen;

static void handler(int number, siginfo_t *info, void *context)
{
	(void)number;
	count++;
	code = info->si_code;
	number_seen = info->si_syscall;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 777;
}

static int check(void)
{
	struct sock_filter rows[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 2, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	};
	struct sock_fprog filter = { sizeof(rows) / sizeof(rows[0]), rows };
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	SEEN(raw);
	CHECK(!sigaction(SIGSYS, &action, NULL));
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0));
	for (int i = 1; i <= 5; i++) {
		FAILS(syscall(SYS_getppid), EXDEV);
		CHECK(raw(SYS_getppid, 0, 0, 0, 0, 0, 0) == -EXDEV);
		CHECK(raw(SYS_getpgrp, 0, 0, 0, 0, 0, 0) == 777 && count == i && code == 1 && number_seen == SYS_getpgrp);
	}
	SEEN(raw);
	CHECK(count == 5);
	return 0;
}
