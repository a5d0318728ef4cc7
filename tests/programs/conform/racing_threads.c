/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads meet at sites that nobody has executed yet, most of which straddle a cache line or a page. */
#include "conform.h"

#define THREADS 4

__asm__(
	".macro sites align, count\n"
	"	.set reach, 1\n"
	"	.rept 7\n"
	"	.rept \\count\n"
	"	.p2align \\align\n"
	"	.skip (1 << \\align) - reach, 0x90\n"
	"	.pushsection .data.rel, \"aw\"\n	.quad 7f\n	.popsection\n"
	"	.cfi_startproc\n"
	"7:	mov $39, %eax\n"
	"	syscall\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.endr\n"
	"	.set reach, reach + 1\n"
	"	.endr\n"
	".endm\n"
	".pushsection .data.rel, \"aw\"\n	.p2align 3\n	.globl sites\nsites:\n	.popsection\n"
	".text\n"
	"	sites 6, 60\n"
	"	sites 12, 12\n"
	"	.p2align 4\n"
	".pushsection .data.rel, \"aw\"\n	.globl sites_end\nsites_end:\n	.popsection\n");
extern long (*sites[])(void), (*sites_end[])(void);

static pthread_barrier_t barrier;

static void *body(void *arg)
{
	(void)arg;
	pid_t own = getpid();
	for (long (**site)(void) = sites; site < sites_end; site++) {
		pthread_barrier_wait(&barrier);
		for (int i = 0; i < 20; i++)
			CHECK((*site)() == own);
	}
	return NULL;
}

static int check(void)
{
	pthread_t threads[THREADS];

	CHECK(sites_end - sites == 7 * (60 + 12) && !pthread_barrier_init(&barrier, NULL, THREADS));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, body, NULL));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	return 0;
}
