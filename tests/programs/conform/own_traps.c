/* SPDX-License-Identifier: GPL-2.0-only */
/* int3, hlt, ud2 and a bad address in the program's code are the program's: in its text, and in written code. */
#include "conform.h"

static sigjmp_buf jump;
static volatile int number_seen, code;
static void *volatile address;
static volatile uintptr_t ip;

static void handler(int number, siginfo_t *info, void *context)
{
	number_seen = number;
	code = info->si_code;
	address = info->si_addr;
	ip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	siglongjmp(jump, 1);
}

void text_int3(void), text_hlt(void), text_ud2(void), text_load(void);
__asm__(".text\n"
	".globl text_int3, text_hlt, text_ud2, text_load\n"
	"text_int3: int3\n	ret\n"
	"text_hlt: hlt\n	ret\n"
	"text_ud2: ud2\n	ret\n"
	"text_load: mov 0x1238, %rax\n	ret\n");

static void trap(void (*code_at)(void), int number, int code_expected, uintptr_t address_expected, int behind)
{
	for (int i = 0; i < 3; i++) {
		number_seen = 0;
		if (!sigsetjmp(jump, 1)) {
			code_at();
			CHECK(!"came back");
		}
		CHECK(number_seen == number && code == code_expected && ip == (uintptr_t)code_at + behind);
		CHECK((uintptr_t)address == address_expected);
	}
}

static int check(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	unsigned char *own = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);

	SEEN(raw);
	CHECK(!sigaction(SIGSEGV, &action, NULL) && !sigaction(SIGTRAP, &action, NULL) && !sigaction(SIGILL, &action, NULL));
	trap(text_int3, SIGTRAP, SI_KERNEL, 0, 1);
	trap(text_hlt, SIGSEGV, SI_KERNEL, 0, 0);
	trap(text_ud2, SIGILL, ILL_ILLOPN, (uintptr_t)text_ud2, 0);
	trap(text_load, SIGSEGV, SEGV_MAPERR, 0x1238, 0);
	*own = 0xf4;
	trap((void (*)(void))own, SIGSEGV, SI_KERNEL, 0, 0);
	SEEN(raw);
	return 0;
}
