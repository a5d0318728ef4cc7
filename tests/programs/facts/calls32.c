/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls by int 0x80: numbers and layouts of i386, on files of the directory as on any. */
#include "fact.h"
#include <sys/statfs.h>

/* Everything that such a call reads or leaves lies here, below 4 GiB. */
static char *low;

static long int80(long nr, long a, long b, long c, long d, long e, long f)
{
	long result;

	__asm__ volatile("push %%rbp; mov %7, %%ebp; int $0x80; pop %%rbp"
		: "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), "r"((int)f) : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

#define CALL32(nr, ...) CALL32_(nr, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL32_(nr, a, b, c, d, e, f, ...) int80(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static char *path(int slot, const char *name)
{
	char *to = low + 4096 * slot;

	snprintf(to, 4096, "%s/%s", D, name);
	return to;
}

static sigjmp_buf out;

static void none(int number)
{
	(void)number;
	siglongjmp(out, 1);
}

/* Such a call changes no register but rax, and no flag. */
static void registers(void)
{
	unsigned long before[13] = { 0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444, 0x5555555555555555, 0x6666666666666666, 0x7777777777777777, 0x8888888888888888 }, after[13], flags[2];

	strcpy(low, D);
	__asm__ volatile(
		"push %%rbp\n\tmov %[before], %%rbp\n\t"
		"mov 0(%%rbp), %%r8\n\tmov 8(%%rbp), %%r9\n\tmov 16(%%rbp), %%r10\n\tmov 24(%%rbp), %%r11\n\t"
		"mov 32(%%rbp), %%r12\n\tmov 40(%%rbp), %%r13\n\tmov 48(%%rbp), %%r14\n\tmov 56(%%rbp), %%r15\n\t"
		"xor %%ecx, %%ecx\n\tcmp $1, %%ecx\n\tpushf\n\tint $0x80\n\tpushf\n\t"
		"push %[after]\n\tpop %%rbp\n\tmov %%r8, 0(%%rbp)\n\tmov %%r9, 8(%%rbp)\n\tmov %%r10, 16(%%rbp)\n\tmov %%r11, 24(%%rbp)\n\t"
		"mov %%r12, 32(%%rbp)\n\tmov %%r13, 40(%%rbp)\n\tmov %%r14, 48(%%rbp)\n\tmov %%r15, 56(%%rbp)\n\t"
		"mov %%rcx, 64(%%rbp)\n\tmov %%rax, 72(%%rbp)\n\tpop %%rax\n\tmov %%rax, 80(%%rbp)\n\tpop %%rax\n\tmov %%rax, 88(%%rbp)\n\tpop %%rbp"
		: : [before] "D"(before), [after] "S"(after), "a"(33L), "b"(low) : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	CHECK(!memcmp(before, after, 64) && after[8] == 0 && after[9] == 0);
	flags[0] = after[80 / 8], flags[1] = after[88 / 8];
	CHECK((flags[0] & 0xcd5) == (flags[1] & 0xcd5) && flags[0] & 1);
}

static int check(void)
{
	char text[64];
	struct stat st;

	low = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	CHECK(low != MAP_FAILED);
	signal(SIGSEGV, none);
	if (sigsetjmp(out, 1) || int80(20, 0, 0, 0, 0, 0, 0) == -ENOSYS) {
		puts("the host has no 32-bit calls");
		return 0;
	}
	signal(SIGSEGV, SIG_DFL);
	registers();

	for (int round = 0; round < 3; round++) {
		/* open (with O_LARGEFILE, which is 0 for 64-bit programs), write, lseek, read, pread64, ftruncate64, fsync, fcntl's kin dup2, close */
		long fd = CALL32(5, path(0, "made32"), O_RDWR | O_CREAT | O_TRUNC | 0100000, 0640);
		CHECK(fd >= 0 && !fstat(fd, &st) && (st.st_mode & 0777) == 0640);
		strcpy(low + 4096, "thirty-two");
		CHECK(CALL32(4, fd, low + 4096, 10) == 10);
		CHECK(CALL32(19, fd, -4, SEEK_END) == 6 && CALL32(3, fd, low + 8192, 16) == 4 && !memcmp(low + 8192, "-two", 4));
		CHECK(CALL32(180, fd, low + 8192, 6, 0, 0) == 6 && !memcmp(low + 8192, "thirty", 6));
		CHECK(CALL32(181, fd, low + 8192, 6, 0, 1) == 6 && !fstat(fd, &st) && st.st_size == (1LL << 32) + 6);
		CHECK(!CALL32(194, fd, 10, 0) && !fstat(fd, &st) && st.st_size == 10 && !CALL32(118, fd));
		long other = CALL32(41, fd);
		CHECK(other > fd && !CALL32(6, other) && CALL32(6, other) == -EBADF && !CALL32(6, fd));
		/* paths: mkdir, rename, link, symlink, readlink, chmod, unlink, rmdir, openat, faccessat, statx */
		CHECK(!CALL32(39, path(0, "dir32"), 0755) && !CALL32(38, path(1, "made32"), path(2, "dir32/f")));
		CHECK(!CALL32(9, path(0, "dir32/f"), path(1, "dir32/g")) && !CALL32(83, path(0, "dir32/f"), path(1, "dir32/l")));
		CHECK(CALL32(85, path(0, "dir32/l"), low + 4096, 4096) == (long)strlen(path(1 + 2, "dir32/f")));
		CHECK(!CALL32(15, path(0, "dir32/f"), 0600) && !stat(path(0, "dir32/g"), &st) && (st.st_mode & 0777) == 0600 && st.st_nlink == 2);
		fd = CALL32(295, AT_FDCWD, path(0, "dir32"), O_RDONLY | O_DIRECTORY);
		CHECK(fd >= 0 && CALL32(220, fd, low + 4096, 4096) > 0);
		strcpy(low, "f");
		CHECK(!CALL32(307, fd, low, R_OK) && !CALL32(383, fd, low, 0, 0x7ff, low + 4096) && CALL32(307, fd, path(0, "none32"), R_OK) == -ENOENT);
		CHECK(!CALL32(301, fd, strcpy(low, "f"), 0) && !CALL32(301, fd, strcpy(low, "g"), 0) && !CALL32(10, path(0, "dir32/l")) && !CALL32(40, path(0, "dir32")));
		CHECK(!CALL32(6, fd));
		/* the working directory */
		CHECK(!CALL32(12, strcpy(low, D)) && CALL32(183, low, 4096) == (long)strlen(D) + 1 && !strcmp(low, D));
		/* numbers that are the same everywhere: openat2 */
		uint64_t how[3] = { O_RDONLY, 0, 0 };
		memcpy(low + 4096, how, sizeof how);
		fd = CALL32(437, AT_FDCWD, strcpy(low, "hello.txt"), low + 4096, sizeof how);
		CHECK(fd >= 0 && read(fd, text, sizeof text) > 5 && !memcmp(text, "Hello", 5) && !CALL32(6, fd));
		/* a wrong address, and a host's file */
		CHECK(CALL32(33, 8, R_OK) == -EFAULT && !CALL32(33, strcpy(low, "/"), R_OK));
		/* a child, and its end */
		long child = CALL32(2, 0);
		if (!child) {
			CALL32(33, path(0, "hello.txt"), R_OK);
			CALL32(252, 9);
		}
		int end;
		CHECK(child > 0 && waitpid(child, &end, 0) == child && end == 9 << 8);
		CHECK(!chdir("/"));
	}
	return 0;
}
