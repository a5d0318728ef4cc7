/* SPDX-License-Identifier: GPL-2.0-only */
/* int 0x80 from 64-bit code is a 32-bit call: other numbers, answered by the host. */
#include "conform.h"

static long int80(long nr, long a, long b, long c)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

static volatile int refused;
static sigjmp_buf jump;
static void handler(int number)
{
	(void)number;
	refused = 1;
	siglongjmp(jump, 1);
}

static int check(void)
{
	char *low = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	SEEN(raw);
	CHECK(low != MAP_FAILED);
	signal(SIGSEGV, handler);
	if (sigsetjmp(jump, 1) || int80(20, 0, 0, 0) == -ENOSYS)
		SKIP("the host has no 32-bit calls");
	signal(SIGSEGV, SIG_DFL);
	for (int i = 0; i < 10; i++) {
		strcpy(low, "/proc/self/status");
		CHECK(int80(20, 0, 0, 0) == getpid() && int80(64, 0, 0, 0) == getppid() && int80(224, 0, 0, 0) == gettid());
		/* 5 is open there and fstat here, 3 is read there and close here, 6 is close there and lstat here */
		long fd = int80(5, (long)low, O_RDONLY, 0);
		CHECK(fd >= 0 && fcntl(fd, F_GETFD) >= 0);
		CHECK(int80(3, fd, (long)low, 5) == 5 && !memcmp(low, "Name:", 5));
		CHECK(int80(6, fd, 0, 0) == 0 && fcntl(fd, F_GETFD) == -1);
		CHECK(int80(9999, 0, 0, 0) == -ENOSYS && int80(6, -1, 0, 0) == -EBADF);
	}
	SEEN(raw);
	return 0;
}
