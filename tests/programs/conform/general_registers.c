/* SPDX-License-Identifier: GPL-2.0-only */
/* All general registers, rcx and r11 as the kernel leaves them: calls of the host, of the image, and wrong ones. */
#include "registers.h"

static int check(void)
{
	char text[16];
	int fd = open(HELLO, O_RDONLY);

	CHECK(fd >= 0);
	for (int round = 0; round < 50; round++)
		for (unsigned i = 0; i < SHAPE_COUNT; i++) {
			const struct shape *shape = &SHAPES[i];
			fill(round * 31 + i);
			in.rax = SYS_getppid;
			shape->call();
			UNCHANGED(shape);
			CHECK(out.rax == (uint64_t)getppid());
			in.rax = SYS_pread64, in.rdi = fd, in.rsi = (uint64_t)text, in.rdx = 5, in.r10 = 0;
			shape->call();
			UNCHANGED(shape);
			CHECK(out.rax == 5 && !memcmp(text, "Hello", 5));
			in.rax = -1;
			shape->call();
			UNCHANGED(shape);
			CHECK(out.rax == (uint64_t)-ENOSYS);
		}
	return 0;
}
