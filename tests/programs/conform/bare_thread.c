/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread made by clone alone: its stack is a page, and its thread pointer is its parent's. */
#include "conform.h"
#include <linux/futex.h>
#include <sched.h>

static volatile int result = -1;
static int alive;

__attribute__((used, noinline)) static void body(void)
{
	result = unseen(raw);
	raw(SYS_exit, 0, 0, 0, 0, 0, 0);
}

/* long spawn(flags, stack, child_tid) */
__asm__(
	".text\n"
	"	.globl spawn_bare\n"
	"spawn_bare:\n"
	"	mov %rdx, %r10\n"
	"	xor %edx, %edx\n"
	"	xor %r8d, %r8d\n"
	"	mov $56, %eax\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jnz 1f\n"
	"	xor %ebp, %ebp\n"
	"	call body\n"
	"	ud2\n"
	"1:	ret\n");
long spawn_bare(long flags, void *stack, int *child_tid);

static int check(void)
{
	long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
	char *stack = pages(16, PROT_READ | PROT_WRITE);

	for (int i = 0; i < 5; i++) {
		result = -1;
		__atomic_store_n(&alive, 1, __ATOMIC_SEQ_CST);
		CHECK(spawn_bare(flags, stack + 16 * PAGE, &alive) > 0);
		while (__atomic_load_n(&alive, __ATOMIC_SEQ_CST))
			syscall(SYS_futex, &alive, FUTEX_WAIT, 1, &(struct timespec){ 0, 50000000 }, NULL, 0);
		if (result) {
			printf("the thread got %d\n", result);
			return 1;
		}
	}
	SEEN(raw);
	return 0;
}
