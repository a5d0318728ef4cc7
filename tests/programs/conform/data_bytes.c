/* SPDX-License-Identifier: GPL-2.0-only */
/* Bytes 0f 05 in the text that are data stay as they are, when what stands around them runs. */
#include "conform.h"

__asm__(
	".text\n	.p2align 4\n	.globl with_data, data_one, data_two, data_three, data_end\n	.type with_data, @function\n"
	"with_data:\n	.cfi_startproc\n"
	"	mov $39, %eax\n"
	"	syscall\n"
	"	mov %rax, %rcx\n"
	"	jmp 1f\n"
	"data_one:	.byte 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3, 0x0f, 0x05, 0x0f, 0x05\n"
	"1:	movabs $0x050f050f050f050f, %rax\n" /* an operand is data, too */
	"	lea data_two(%rip), %rdx\n"
	"	add (%rdx), %rax\n"
	"	sub (%rdx), %rax\n"
	"	movabs $0x050f050f050f050f, %rdx\n"
	"	sub %rdx, %rax\n"
	"	add %rcx, %rax\n"
	"	ret\n"
	"data_two:	.quad 0x050f050f050f050f, 0xc3050f00000027b8\n"
	"	.cfi_endproc\n	.size with_data, . - with_data\n"
	"	.p2align 12\n"
	"data_three:	.rept 512\n	.quad 0x050f00000027b890\n	.endr\n"
	"data_end:\n");
extern char with_data[], data_one[], data_two[], data_three[], data_end[];
long with_data_call(void) __asm__("with_data");

static int check(void)
{
	const unsigned char one[] = { 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3, 0x0f, 0x05, 0x0f, 0x05 };

	for (int i = 0; i < 100; i++)
		CHECK(with_data_call() == getpid());
	SEEN(raw);
	CHECK(!memcmp(data_one, one, sizeof(one)));
	CHECK(((uint64_t *)data_two)[0] == 0x050f050f050f050f && ((uint64_t *)data_two)[1] == 0xc3050f00000027b8);
	for (uint64_t *word = (uint64_t *)data_three; (char *)word < data_end; word++)
		CHECK(*word == 0x050f00000027b890);
	/* and the operands */
	CHECK(((unsigned char *)data_one)[12] == 0x48 && ((unsigned char *)data_one)[13] == 0xb8 && *(uint64_t *)(data_one + 14) == 0x050f050f050f050f);
	return 0;
}
