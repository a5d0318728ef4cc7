/* SPDX-License-Identifier: GPL-2.0-only */
/* A syscall instruction that is itself the target of a jump, with other numbers in rax; and one in the middle of what
 * could be rewritten. */
#include "conform.h"

__asm__(
	".text\n	.p2align 4\n	.globl again_at_it, into_the_window\n	.type again_at_it, @function\n	.type into_the_window, @function\n"
	/* long again_at_it(long *results): getpid, getppid, gettid by one instruction */
	"again_at_it:\n	.cfi_startproc\n"
	"	mov %rdi, %r8\n"
	"	mov $39, %eax\n"
	"1:	syscall\n"
	"	mov %rax, (%r8)\n"
	"	add $8, %r8\n"
	"	inc %r9d\n"
	"	cmp $3, %r9d\n"
	"	jae 2f\n"
	"	mov $110, %eax\n"
	"	cmp $1, %r9d\n"
	"	je 1b\n"
	"	mov $186, %eax\n"
	"	jmp 1b\n"
	"2:	ret\n	.cfi_endproc\n	.size again_at_it, . - again_at_it\n"
	/* long into_the_window(int which): enters before, amid and at the end of the instructions before the call */
	"into_the_window:\n	.cfi_startproc\n"
	"	cmp $1, %edi\n"
	"	mov $110, %eax\n"
	"	je 3f\n"
	"	mov $186, %eax\n"
	"	ja 4f\n"
	"	xor %eax, %eax\n"
	"	mov $39, %al\n"
	"3:	nop\n"
	"	nop\n"
	"4:	syscall\n"
	"	ret\n	.cfi_endproc\n	.size into_the_window, . - into_the_window\n");
void again_at_it(long *results, long, long, long, long, long zero);
long into_the_window(int which);

static int check(void)
{
	long results[3];

	for (int i = 0; i < 100; i++) {
		memset(results, 0, sizeof(results));
		again_at_it(results, 0, 0, 0, 0, 0);
		CHECK(results[0] == getpid() && results[1] == getppid() && results[2] == gettid());
		for (int which = 0; which < 3; which++)
			CHECK(into_the_window((which + i) % 3) == ((which + i) % 3 == 0 ? getpid() : (which + i) % 3 == 1 ? getppid() : gettid()));
	}
	return 0;
}
