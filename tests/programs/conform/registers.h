/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls with every general register and flag of the caller's choice, at sites of several shapes. */
#ifndef REGISTERS_H
#define REGISTERS_H
#include "conform.h"

struct registers { uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, flags; };
static struct registers in, out;
extern struct registers *registers_in, *registers_out;
struct registers *registers_in = &in, *registers_out = &out;
uint64_t kept_rsp;

/* A site: loads everything from `in`, makes the call, stores everything to `out`. BEFORE are instructions between
 * the loads and the call, which must leave the values alone; they shape the window that can be rewritten. */
#define SITE(name, before, behind) __asm__( \
	".text\n	.p2align 4\n	.globl " #name ", " #name "_after\n	.type " #name ", @function\n" \
	#name ":\n	.cfi_startproc\n" \
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n" \
	"	mov %rsp, kept_rsp(%rip)\n" \
	"	mov registers_in(%rip), %rax\n" \
	"	push 128(%rax)\n" \
	"	mov 8(%rax), %rbx\n	mov 16(%rax), %rcx\n	mov 24(%rax), %rdx\n	mov 32(%rax), %rsi\n" \
	"	mov 40(%rax), %rdi\n	mov 48(%rax), %rbp\n	mov 64(%rax), %r8\n	mov 72(%rax), %r9\n" \
	"	mov 80(%rax), %r10\n	mov 88(%rax), %r11\n	mov 96(%rax), %r12\n	mov 104(%rax), %r13\n" \
	"	mov 112(%rax), %r14\n	mov 120(%rax), %r15\n	mov (%rax), %rax\n" \
	"	popfq\n" \
	before \
	"	syscall\n" \
	#name "_after:\n" \
	behind \
	"	mov %rax, in_memory(%rip)\n	mov registers_out(%rip), %rax\n" \
	"	mov %rbx, 8(%rax)\n	mov %rcx, 16(%rax)\n	mov %rdx, 24(%rax)\n	mov %rsi, 32(%rax)\n" \
	"	mov %rdi, 40(%rax)\n	mov %rbp, 48(%rax)\n	mov %rsp, 56(%rax)\n	mov %r8, 64(%rax)\n" \
	"	mov %r9, 72(%rax)\n	mov %r10, 80(%rax)\n	mov %r11, 88(%rax)\n	mov %r12, 96(%rax)\n" \
	"	mov %r13, 104(%rax)\n	mov %r14, 112(%rax)\n	mov %r15, 120(%rax)\n" \
	"	pushfq\n	pop 128(%rax)\n" \
	"	mov in_memory(%rip), %rbx\n	mov %rbx, (%rax)\n" \
	"	push $0x202\n	popfq\n" \
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n	ret\n" \
	"	.cfi_endproc\n	.size " #name ", . - " #name "\n"); \
	void name(void); \
	extern char name##_after[]
uint64_t in_memory;

/* Shapes: the loads alone before the call; five bytes that do not matter; short ones; and the same behind it. */
SITE(site_plain, "", "");
SITE(site_long, "	mov %eax, %eax\n	.byte 0x0f, 0x1f, 0x44, 0, 0\n", "");
SITE(site_short, "	nop\n	nop\n	nop\n	nop\n", "");
SITE(site_behind, "	jmp 3f\n3:", "	.byte 0x0f, 0x1f, 0x44, 0, 0\n");
SITE(site_many, "	lea (%r10), %r10\n	lea (%rdx), %rdx\n", "	nop\n");

struct shape { const char *name; void (*call)(void); char *after; };
static const struct shape SHAPES[] = {
	{ "plain", site_plain, site_plain_after }, { "long", site_long, site_long_after }, { "short", site_short, site_short_after },
	{ "behind", site_behind, site_behind_after }, { "many", site_many, site_many_after },
};
#define SHAPE_COUNT (sizeof(SHAPES) / sizeof(*SHAPES))

/* CF PF AF ZF SF DF OF, and AC and ID. IF is always set. */
#define FLAGS_ALL 0x240cd5UL
#define FLAGS_FIXED 0x202UL

__attribute__((unused)) static void fill(uint64_t seed)
{
	uint64_t *word = (uint64_t *)&in;

	for (unsigned i = 0; i < sizeof(in) / 8; i++)
		word[i] = (seed + i) * 0x9e3779b97f4a7c15ULL;
	in.flags = FLAGS_FIXED;
}

/* What has changed that must not; rax is the caller's to look at. */
__attribute__((unused)) static const char *changed(const struct shape *shape)
{
	static char text[200];
	const char *names[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "flags" };
	uint64_t expected[17];

	memcpy(expected, &in, sizeof(in));
	expected[0] = out.rax;
	expected[2] = (uint64_t)shape->after;
	expected[7] = kept_rsp;
	expected[11] = in.flags;
	for (int i = 0; i < 17; i++)
		if (expected[i] != ((uint64_t *)&out)[i]) {
			snprintf(text, sizeof(text), "%s, site %s: %#lx instead of %#lx", names[i], shape->name,
				(unsigned long)((uint64_t *)&out)[i], (unsigned long)expected[i]);
			return text;
		}
	return NULL;
}

#define UNCHANGED(shape) do { \
	const char *what = changed(shape); \
	if (what) { \
		printf("%s:%d: %s\n", __FILE__, __LINE__, what); \
		fflush(stdout); \
		_exit(1); \
	} \
} while (0)
#endif
