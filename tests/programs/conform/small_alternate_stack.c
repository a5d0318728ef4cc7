/* SPDX-License-Identifier: GPL-2.0-only */
/* An alternate stack as small as the kernel allows for this processor, and the handler's own little. */
#include "conform.h"

static volatile int wrong = -1;
static volatile uintptr_t where;

static void handler(int number)
{
	(void)number;
	where = (uintptr_t)__builtin_frame_address(0);
	wrong = unseen(raw);
}

static int check(void)
{
	long least = getauxval(AT_MINSIGSTKSZ) ? (long)getauxval(AT_MINSIGSTKSZ) : 2048;
	long size = (least + 1024 + PAGE - 1) / PAGE * PAGE;
	char *memory = pages(size / PAGE + 2, PROT_NONE), *top = memory + PAGE + size;
	stack_t stack = { .ss_sp = top - least - 1024, .ss_size = least + 1024 }, back;
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };

	CHECK(!mprotect(memory + PAGE, size, PROT_READ | PROT_WRITE));
	/* what lies below the stack is the program's, too */
	memset(memory + PAGE, 0x5a, (char *)stack.ss_sp - (memory + PAGE));
	CHECK(!sigaltstack(&stack, NULL) && !sigaction(SIGUSR1, &action, NULL) && !sigaction(SIGALRM, &action, NULL));
	for (int i = 0; i < 10; i++) {
		wrong = -1;
		CHECK(!raise(SIGUSR1) && !wrong);
		CHECK(where > (uintptr_t)stack.ss_sp && where < (uintptr_t)top);
	}
	for (char *p = memory + PAGE; p < (char *)stack.ss_sp; p++)
		CHECK(*p == 0x5a);
	CHECK(!sigaltstack(NULL, &back) && back.ss_sp == stack.ss_sp && back.ss_size == stack.ss_size && !back.ss_flags);
	return 0;
}
