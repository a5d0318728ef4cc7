/* SPDX-License-Identifier: GPL-2.0-only */
/* A program writes to a file, confines itself to what it does from then on, writes again, and ends: it ends with its own status, and
 * what it wrote is there. (In strict mode it writes no more: the host forbids the processor's counter there, by which a kernel
 * tells the time.) */
#include "conform.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define EACH 20000

enum way { KILLS, FAILS_OTHERS, STRICT, WAYS };

static void confine(enum way way)
{
	struct sock_filter rows[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_write),
		ALLOW(SYS_getppid),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, way == KILLS ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog filter = { sizeof(rows) / sizeof(rows[0]), rows };

	if (way == STRICT) {
		CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
		return;
	}
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	/* Threads that are not the program's have no part in it. */
	CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter));
}

static const char *name_of(enum way way)
{
	static char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s/confined-%d", D, way);
	return name;
}

static void write_and_end(enum way way)
{
	static char text[EACH];
	int file = open(name_of(way), O_CREAT | O_TRUNC | O_RDWR, 0600);

	memset(text, 'x', sizeof(text));
	CHECK(file >= 0 && write(file, text, EACH) == EACH);
	confine(way);
	if (way == STRICT)
		raw(SYS_exit, 7, 0, 0, 0, 0, 0);
	long got = raw(SYS_write, file, (long)text, EACH, 0, 0, 0);
	if (got == EACH)
		got = raw(SYS_getppid, 0, 0, 0, 0, 0, 0) > 0 ? EACH : -1;
	raw(SYS_exit_group, got == EACH ? 7 : 8, 0, 0, 0, 0, 0);
}

static int check(void)
{
	for (enum way way = KILLS; way < WAYS; way++) {
		struct stat found;
		pid_t child = fork();
		CHECK(child >= 0);
		if (!child)
			write_and_end(way);
		int end = end_of(child);
		if (!WIFEXITED(end) || WEXITSTATUS(end) != 7)
			printf("way %d: status %#x\n", way, end);
		CHECK(WIFEXITED(end) && WEXITSTATUS(end) == 7);
		CHECK(!stat(name_of(way), &found) && found.st_size == (way == STRICT ? EACH : 2 * EACH) && !unlink(name_of(way)));
	}
	return 0;
}
