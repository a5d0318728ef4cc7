/* SPDX-License-Identifier: GPL-2.0-only */
/* The program writes other code over code that was executed often, in memory of its own and in its text. */
#include "conform.h"

__asm__(
	".text\n"
	"	.p2align 12\n"
	"	.globl target\n"
	"	.type target, @function\n"
	"target:\n"
	"	.cfi_startproc\n"
	"	mov $39, %eax\n"
	"	syscall\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size target, . - target\n"
	"	.p2align 12, 0xcc\n");
extern char target[];

/* mov eax, 186; syscall; ret: gettid */
static const unsigned char TID[] = { 0xb8, 186, 0, 0, 0, 0x0f, 0x05, 0xc3 };
/* mov eax, 77; nop; nop; ret */
static const unsigned char NUMBER[] = { 0xb8, 77, 0, 0, 0, 0x90, 0x90, 0xc3 };
/* xor eax, eax; mov al, 110; syscall; ret, nop: getppid */
static const unsigned char PARENT[] = { 0x31, 0xc0, 0xb0, 110, 0x0f, 0x05, 0xc3, 0x90 };

static void overwrite(char *code)
{
	int (*call)(void) = (int (*)(void))code;

	for (int i = 0; i < 100; i++)
		CHECK(call() == getpid());
	for (int round = 0; round < 20; round++) {
		memcpy(code, NUMBER, sizeof(NUMBER));
		CHECK(call() == 77);
		memcpy(code, PARENT, sizeof(PARENT));
		CHECK(call() == getppid() && call() == getppid());
		memcpy(code, TID, sizeof(TID));
		CHECK(call() == gettid() && call() == gettid());
		CHECK(!memcmp(code, TID, sizeof(TID)));
	}
}

static int check(void)
{
	char *own = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);

	memcpy(own, target, 8);
	overwrite(own);
	for (int i = 0; i < 100; i++)
		CHECK(((int (*)(void))target)() == getpid());
	CHECK(!mprotect(target, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
	overwrite(target);
	return 0;
}
