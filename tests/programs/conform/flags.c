/* SPDX-License-Identifier: GPL-2.0-only */
/* Every flag that a program can set, DF and AC among them, comes back, and r11 holds the same. */
#include "registers.h"

static int check(void)
{
	const uint64_t bits[] = { 0, 1, 4, 0x10, 0x40, 0x80, 0x400, 0x800, 0x40000, 0x200000, 0x401, 0x40400, FLAGS_ALL, FLAGS_ALL & ~0x400UL };
	char text[16];
	int fd = open(HELLO, O_RDONLY);

	CHECK(fd >= 0);
	for (int round = 0; round < 5; round++)
		for (unsigned i = 0; i < SHAPE_COUNT; i++)
			for (unsigned k = 0; k < sizeof(bits) / sizeof(*bits); k++) {
				const struct shape *shape = &SHAPES[i];
				fill(k);
				in.flags = FLAGS_FIXED | bits[k];
				in.rax = SYS_getppid;
				shape->call();
				UNCHANGED(shape);
				in.rax = SYS_pread64, in.rdi = fd, in.rsi = (uint64_t)text, in.rdx = 5, in.r10 = 0;
				shape->call();
				UNCHANGED(shape);
				CHECK(out.rax == 5);
			}
	return 0;
}
