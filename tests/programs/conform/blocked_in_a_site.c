/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads sleep in a site while others come to it for the first time; all wake where they slept. */
#include "conform.h"

#define THREADS 6

/* a site of its own: whoever is first sleeps in it */
long sleeping_site(long nr, long a, long b, long c);
__asm__(
	".text\n	.p2align 12\n	.skip 4090, 0x90\n	.globl sleeping_site\n	.type sleeping_site, @function\nsleeping_site:\n	.cfi_startproc\n"
	"	mov %rdi, %rax\n	mov %rsi, %rdi\n	mov %rdx, %rsi\n	mov %rcx, %rdx\n"
	"	syscall\n"
	"	cmp $-4095, %rax\n	jae 1f\n	ret\n1:	neg %rax\n	ret\n"
	"	.cfi_endproc\n	.size sleeping_site, . - sleeping_site\n");

static int pipes[THREADS][2];
static _Atomic pid_t ids[THREADS];

static void *body(void *arg)
{
	long which = (long)arg;
	char byte = 0;

	ids[which] = gettid();
	CHECK(sleeping_site(SYS_read, pipes[which][0], (long)&byte, 1) == 1 && byte == 'a' + which);
	CHECK(sleeping_site(SYS_getppid, 0, 0, 0) == getppid());
	CHECK(sleeping_site(SYS_read, -1, 0, 0) == EBADF);
	return NULL;
}

static int check(void)
{
	pthread_t threads[THREADS];

	for (long i = 0; i < THREADS; i++) {
		CHECK(!pipe(pipes[i]) && !pthread_create(&threads[i], NULL, body, (void *)i));
		EVENTUALLY(ids[i]);
		until_asleep(ids[i]);
	}
	for (long i = 0; i < THREADS; i++) {
		char byte = 'a' + i;
		CHECK(sleeping_site(SYS_write, pipes[i][1], (long)&byte, 1) == 1 && !pthread_join(threads[i], NULL));
	}
	return 0;
}
