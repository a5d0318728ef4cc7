/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the programs of the conformance suite. A door is a way to issue a system call; that a call was seen shows
 * in a file that exists only where the calls are caught. */
#ifndef CONFORM_H
#define CONFORM_H
#include "fact.h"
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <ucontext.h>

/* In the C ABI, with the kernel's result. */
typedef long door(long nr, long a, long b, long c, long d, long e, long f);

/* An instruction of this program's own text. */
__attribute__((unused, noinline)) static long raw(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
		: "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return result;
}

/* A door's code, fit for any place. */
__attribute__((unused)) static const unsigned char DOOR[] = {
	0x48, 0x89, 0xf8,             /* mov rax, rdi */
	0x48, 0x89, 0xf7,             /* mov rdi, rsi */
	0x48, 0x89, 0xd6,             /* mov rsi, rdx */
	0x48, 0x89, 0xca,             /* mov rdx, rcx */
	0x4d, 0x89, 0xc2,             /* mov r10, r8 */
	0x4d, 0x89, 0xc8,             /* mov r8, r9 */
	0x4c, 0x8b, 0x4c, 0x24, 0x08, /* mov r9, [rsp + 8] */
	0x0f, 0x05,                   /* syscall */
	0xc3,                         /* ret */
};

#define PAGE 4096L

__attribute__((unused)) static void *pages(long count, int protection)
{
	void *memory = mmap(NULL, count * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

/* Reads the file that shows whether a door is watched. 0, or what is wrong. */
__attribute__((unused, noinline)) static int unseen(door call)
{
	char text[5] = "";
	long fd = call(SYS_openat, AT_FDCWD, (long)HELLO, O_RDONLY, 0, 0, 0);

	if (fd < 0)
		return (int)-fd;
	long n = call(SYS_read, fd, (long)text, 5, 0, 0, 0);
	if (call(SYS_close, fd, 0, 0, 0, 0, 0))
		return 1001;
	if (n != 5 || text[0] != 'H' || text[1] != 'e' || text[2] != 'l' || text[3] != 'l' || text[4] != 'o')
		return 1002;
	return 0;
}

/* The door is watched, the first time and later. */
#define SEEN(call) do { \
	for (int round = 1; round <= 3; round++) { \
		int wrong = unseen(call); \
		if (wrong) { \
			printf("%s:%d: not seen through %s, round %d: %d\n", __FILE__, __LINE__, #call, round, wrong); \
			fflush(stdout); \
			_exit(1); \
		} \
	} \
} while (0)

/* Waits five seconds at most: a child that never ends is a result, too. */
__attribute__((unused)) static int end_of(pid_t child)
{
	int end;

	for (double limit = now_s() + 5; now_s() < limit; sleep_ms(1))
		if (waitpid(child, &end, WNOHANG) == child)
			return end;
	kill(child, SIGKILL);
	return -1;
}

/* The child ends with 0. */
#define ENDS_WELL(child) do { \
	pid_t pid = (child); \
	CHECK(pid > 0); \
	int end = end_of(pid); \
	if (end) { \
		printf("%s:%d: the child ended with %#x\n", __FILE__, __LINE__, end); \
		fflush(stdout); \
		_exit(1); \
	} \
} while (0)

/* Runs an exec in a child, which has to end well. The new program writes to our standard output. */
#define RUNS(exec) do { \
	fflush(stdout); \
	pid_t child = fork(); \
	CHECK(child >= 0); \
	if (!child) { \
		exec; \
		_exit(120); \
	} \
	ENDS_WELL(child); \
} while (0)

/* Words that start this program again in a role. */
#define AGAIN(role) (char *[]){ SELF, (char *)D, (char *)H, role, NULL }

/* What this machine cannot show is not a pass: the suite repeats the line. */
#define SKIP(why) do { \
	printf("skipped: %s\n", why); \
	fflush(stdout); \
	_exit(0); \
} while (0)
#endif
