/* SPDX-License-Identifier: GPL-2.0-only */
/* Alternate signal stacks: a handler's frame lies where the kernel puts it, and what a call in the handler takes of the
 * stack beside it is little, whichever call it is and whoever has made it before. */
#include "fact.h"
#include <sched.h>
#include <sys/auxv.h>
#include <ucontext.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif
#define PAINT 0xa5
/* What the handlers here take for themselves, and what may come to that. */
#define OWN 320
#define MORE 256

/* A call by an instruction of its own each time this is written. */
#define CALL(nr, a, b, c) ({ \
	long result; \
	__asm__ volatile("syscall" : "=a"(result) : "a"((long)(nr)), "D"((long)(a)), "S"((long)(b)), "d"((long)(c)) : "rcx", "r11", "memory"); \
	result; \
})

/* Of libc, bound from the start: ld.so takes kilobytes to bind a name when it is first called. */
static int (*const volatile libc_getpriority)(__priority_which_t, id_t) = getpriority;
static int (*const volatile libc_getscheduler)(pid_t) = sched_getscheduler;

struct stack {
	char *memory, *low;
	size_t size;
};

static __thread struct stack here;
static __thread volatile int depth, wrong;
static __thread char *volatile frames[8];

static size_t least(void)
{
	unsigned long said = getauxval(AT_MINSIGSTKSZ);

	return (said > 2048 ? said : 2048) + 1024;
}

/* A painted stack of exactly that size, with something of the program's below and above it. */
static void take_stack(size_t size, unsigned flags)
{
	here.size = size;
	here.memory = mmap(NULL, size + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(here.memory != MAP_FAILED);
	here.low = here.memory + 4096;
	memset(here.memory, PAINT, size + 8192);
	stack_t stack = { .ss_sp = here.low, .ss_size = size, .ss_flags = (int)flags };
	CHECK(!sigaltstack(&stack, NULL));
}

static void leave_stack(void)
{
	stack_t none = { .ss_flags = SS_DISABLE };

	CHECK(!sigaltstack(&none, NULL));
	for (char *p = here.memory; p < here.low; p++)
		CHECK((unsigned char)*p == PAINT);
	for (char *p = here.low + here.size; p < here.memory + here.size + 8192; p++)
		CHECK((unsigned char)*p == PAINT);
	munmap(here.memory, here.size + 8192);
}

/* Where the kernel puts a frame below `top` (arch/x86/kernel/signal.c): the vector state, and 440 bytes. */
static char *frame_below(char *top, const ucontext_t *context)
{
	const char *state = (const char *)context->uc_mcontext.fpregs;
	unsigned mark = *(const unsigned *)(state + 464), size = mark == 0x46505853 ? *(const unsigned *)(state + 468) : 512;
	uintptr_t at = ((uintptr_t)top - size) & ~63UL;

	return (char *)(((at - 440) & ~15UL) - 8);
}

static char *lowest_written(void)
{
	char *p = here.low;

	while (p < here.low + here.size && (unsigned char)*p == PAINT)
		p++;
	return p;
}

/* May not check: it would print from a signal handler. */
#define EXPECT(condition) do { if (!(condition) && !wrong) wrong = __LINE__; } while (0)

#define BODY(expected_top) do { \
	const ucontext_t *uc = context; \
	char *frame = (char *)context - 8; \
	(void)number; (void)info; \
	EXPECT(frame == frame_below((expected_top), uc)); \
	EXPECT((char *)info == frame + 8 + 304); \
	EXPECT(uc->uc_stack.ss_sp == here.low && uc->uc_stack.ss_size == here.size); \
	frames[depth++] = frame; \
} while (0)

static void innermost(int number, siginfo_t *info, void *context)
{
	char *own = (char *)context - 8, *below = frame_below(frames[0] - 128, context);

	/* below what the call of the outer handler takes of the stack, and not much */
	EXPECT(own <= below && below - own <= OWN + MORE);
	(void)number, (void)info;
	frames[depth++] = own;
	EXPECT(CALL(SYS_access, HELLO, R_OK, 0) == 0);
	EXPECT(CALL(SYS_getppid, 0, 0, 0) > 0);
	EXPECT(libc_getpriority(PRIO_PROCESS, 0) > -30);
}

static void outermost(int number, siginfo_t *info, void *context)
{
	BODY(here.low + here.size);
	EXPECT(CALL(SYS_access, HELLO, R_OK, 0) == 0);
	EXPECT(CALL(SYS_tgkill, CALL(SYS_getpid, 0, 0, 0), CALL(SYS_gettid, 0, 0, 0), SIGUSR2) == 0);
	EXPECT(depth == 2);
	EXPECT(CALL(SYS_close, CALL(SYS_open, HELLO, O_RDONLY, 0), 0, 0) == 0);
}

static void alone(int number, siginfo_t *info, void *context)
{
	BODY(here.low + here.size);
	EXPECT(CALL(SYS_access, HELLO, R_OK, 0) == 0);
	EXPECT(CALL(SYS_access, "/", R_OK, 0) == 0);
	EXPECT(libc_getscheduler(0) >= 0);
}

static void on(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	CHECK(!sigaction(number, &action, NULL));
}

#define SENT(number) do { \
	depth = wrong = 0; \
	CHECK(!raise(number)); \
	if (wrong) \
		printf("alternate.c:%d: not true, of a stack of %zu\n", wrong, here.size); \
	CHECK(!wrong); \
} while (0)

static void sizes(void)
{
	on(SIGUSR1, alone, SA_ONSTACK);
	on(SIGUSR2, innermost, SA_ONSTACK);
	for (int round = 0; round < 3; round++) {
		take_stack(round ? 8192 : least(), 0);
		SENT(SIGUSR1);
		CHECK(depth == 1 && frames[0] - lowest_written() <= OWN + MORE);
		leave_stack();
	}
	on(SIGUSR1, outermost, SA_ONSTACK);
	for (int round = 0; round < 3; round++) {
		take_stack(round ? 8192 : least() + 8192, 0);
		SENT(SIGUSR1);
		CHECK(depth == 2 && frames[1] - lowest_written() <= OWN + MORE);
		leave_stack();
	}
}

/* Eight threads at once, each with handlers of its own code. */
#define OF_THREAD(n) static void of_thread_##n(int number, siginfo_t *info, void *context) \
{ \
	BODY(here.low + here.size); \
	for (int i = 0; i < 50; i++) { \
		EXPECT(CALL(SYS_access, HELLO, R_OK, 0) == 0); \
		EXPECT(CALL(SYS_getuid, 0, 0, 0) >= 0); \
	} \
}
OF_THREAD(0) OF_THREAD(1) OF_THREAD(2) OF_THREAD(3) OF_THREAD(4) OF_THREAD(5) OF_THREAD(6) OF_THREAD(7)

static void *thread(void *number)
{
	int which = SIGRTMIN + 2 + (int)(intptr_t)number;
	stack_t none;

	CHECK(!sigaltstack(NULL, &none) && none.ss_flags == SS_DISABLE);
	for (int round = 0; round < 20; round++) {
		take_stack(8192, 0);
		SENT(which);
		CHECK(depth == 1 && frames[0] - lowest_written() <= OWN + MORE);
		leave_stack();
	}
	return NULL;
}

static void threads(void)
{
	void (*handlers[])(int, siginfo_t *, void *) = { of_thread_0, of_thread_1, of_thread_2, of_thread_3, of_thread_4, of_thread_5, of_thread_6, of_thread_7 };
	pthread_t all[8];

	for (intptr_t i = 0; i < 8; i++) {
		on(SIGRTMIN + 2 + (int)i, handlers[i], SA_ONSTACK);
		CHECK(!pthread_create(&all[i], NULL, thread, (void *)i));
	}
	for (int i = 0; i < 8; i++)
		CHECK(!pthread_join(all[i], NULL));
}

/* sigaltstack(2) itself. */
static void asks(int number, siginfo_t *info, void *context)
{
	stack_t now, other = { .ss_sp = here.low, .ss_size = here.size };

	(void)number, (void)info, (void)context;
	EXPECT(!sigaltstack(NULL, &now) && now.ss_sp == here.low && now.ss_size == here.size && now.ss_flags == SS_ONSTACK);
	EXPECT(sigaltstack(&other, NULL) == -1 && errno == EPERM);
	other.ss_flags = SS_DISABLE;
	EXPECT(sigaltstack(&other, NULL) == -1 && errno == EPERM);
	depth++;
}

static void replaces(int number, siginfo_t *info, void *context)
{
	stack_t other = { .ss_sp = here.low, .ss_size = here.size - 64 }, now;

	(void)number, (void)info, (void)context;
	EXPECT(!sigaltstack(&other, &now) && now.ss_size == here.size && now.ss_flags == 0);
	EXPECT(!sigaltstack(NULL, &now) && now.ss_size == here.size - 64);
	depth++;
}

static void the_call(void)
{
	stack_t now, bad = { .ss_size = 1024 };

	take_stack(16384, 0);
	on(SIGUSR1, asks, SA_ONSTACK);
	SENT(SIGUSR1);
	CHECK(depth == 1 && !sigaltstack(NULL, &now) && now.ss_sp == here.low && now.ss_flags == 0);
	/* a handler's return sets what was set when it began */
	on(SIGUSR1, replaces, 0);
	SENT(SIGUSR1);
	CHECK(depth == 1 && !sigaltstack(NULL, &now) && now.ss_size == here.size);
	bad.ss_sp = here.low;
	FAILS(sigaltstack(&bad, NULL), ENOMEM);
	bad.ss_size = here.size, bad.ss_flags = 4;
	FAILS(sigaltstack(&bad, NULL), EINVAL);
	CHECK(CALL(SYS_sigaltstack, 8, 0, 0) == -EFAULT && CALL(SYS_sigaltstack, 0, 8, 0) == -EFAULT);
	CHECK(!sigaltstack(NULL, &now) && now.ss_size == here.size && now.ss_sp == here.low);
	leave_stack();
	CHECK(!sigaltstack(NULL, &now) && now.ss_flags == SS_DISABLE && !now.ss_size && !now.ss_sp);
}

/* SS_AUTODISARM: there is none while the handler runs. */
static void disarmed_inner(int number, siginfo_t *info, void *context)
{
	const ucontext_t *outer = context;

	/* on the stack that the thread is on, which is here or that of a call */
	(void)number, (void)info;
	EXPECT((char *)context < (char *)outer->uc_mcontext.gregs[REG_RSP]);
	EXPECT(CALL(SYS_access, HELLO, R_OK, 0) == 0);
	depth++;
}

static void disarmed(int number, siginfo_t *info, void *context)
{
	stack_t now;

	(void)number, (void)info;
	EXPECT((char *)context - 8 == frame_below(here.low + here.size, context));
	EXPECT(!sigaltstack(NULL, &now) && now.ss_flags == SS_DISABLE && !now.ss_size);
	EXPECT(CALL(SYS_access, HELLO, R_OK, 0) == 0);
	EXPECT(!raise(SIGUSR2));
	depth++;
}

static void auto_disarm(void)
{
	stack_t now;

	take_stack(32768, SS_AUTODISARM);
	on(SIGUSR1, disarmed, SA_ONSTACK);
	on(SIGUSR2, disarmed_inner, SA_ONSTACK);
	for (int round = 0; round < 3; round++) {
		SENT(SIGUSR1);
		CHECK(depth == 2);
		CHECK(!sigaltstack(NULL, &now) && now.ss_sp == here.low && (unsigned)now.ss_flags == SS_AUTODISARM);
	}
	leave_stack();
}

/* Left by a jump, and by a child. */
static sigjmp_buf out;

static void jumps(int number, siginfo_t *info, void *context)
{
	BODY(here.low + here.size);
	EXPECT(CALL(SYS_access, HELLO, R_OK, 0) == 0);
	siglongjmp(out, 1);
}

static void forks(int number, siginfo_t *info, void *context)
{
	BODY(here.low + here.size);
	pid_t child = fork();
	if (!child)
		_exit(CALL(SYS_access, "/", R_OK, 0) == 0 && CALL(SYS_getpid, 0, 0, 0) == getpid() ? 7 : 8);
	int end = 0;
	EXPECT(child > 0 && waitpid(child, &end, 0) == child && end == 7 << 8);
}

static void left(void)
{
	take_stack(8192 + least(), 0);
	on(SIGUSR1, jumps, SA_ONSTACK);
	for (volatile int round = 0; round < 5; round++) {
		depth = wrong = 0;
		if (!sigsetjmp(out, 1))
			raise(SIGUSR1);
		CHECK(depth == 1 && !wrong && !access(HELLO, R_OK));
	}
	leave_stack();
	take_stack(65536, 0);
	on(SIGUSR1, forks, SA_ONSTACK);
	SENT(SIGUSR1);
	leave_stack();
}

/* The stack is used up: the handler has another. */
static __attribute__((noinline)) int deep(int n)
{
	volatile char room[4096];

	room[0] = (char)n;
	return n ? deep(n - 1) + room[0] : 0;
}

static void overflown(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	depth++;
	EXPECT(info->si_addr != NULL && CALL(SYS_access, HELLO, R_OK, 0) == 0);
	siglongjmp(out, 1);
}

static void *overflow(void *unused)
{
	take_stack(8192, 0);
	depth = wrong = 0;
	if (!sigsetjmp(out, 1))
		deep(1 << 20);
	CHECK(depth == 1 && !wrong);
	leave_stack();
	return unused;
}

/* A deadly signal that the handler ends with takes nothing of what is left of the stack. */
static void aborts(int number, siginfo_t *info, void *context)
{
	char room[4000];

	(void)number, (void)info, (void)context;
	memset(room, 1, sizeof room);
	__asm__ volatile("" : : "r"(room) : "memory");
	if (depth++)
		_exit(77);
	if (CALL(SYS_access, HELLO, R_OK, 0))
		_exit(78);
	raise(SIGABRT);
}

static void deadly(void)
{
	int end;
	pid_t child = fork();

	if (!child) {
		struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_CORE, &none);
		take_stack(8192, 0);
		on(SIGSEGV, aborts, SA_ONSTACK);
		CHECK(!access(HELLO, R_OK));
		depth = 0;
		deep(1 << 20);
		_exit(79);
	}
	CHECK(child > 0 && waitpid(child, &end, 0) == child);
	CHECK(WIFSIGNALED(end) && WTERMSIG(end) == SIGABRT);
	/* and one for which there is no handler, of a stack that is used up */
	child = fork();
	if (!child) {
		struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		CHECK(!access(HELLO, R_OK));
		deep(1 << 20);
		_exit(79);
	}
	CHECK(child > 0 && waitpid(child, &end, 0) == child);
	CHECK(WIFSIGNALED(end) && WTERMSIG(end) == SIGSEGV);
}

/* The mask, and the vector state with which a handler begins. */
static unsigned mxcsr(void)
{
	unsigned value;

	__asm__ volatile("stmxcsr %0" : "=m"(value));
	return value;
}

static void begins(int number, siginfo_t *info, void *context)
{
	sigset_t now;

	(void)info, (void)context;
	EXPECT(!sigprocmask(SIG_BLOCK, NULL, &now) && sigismember(&now, number) && sigismember(&now, SIGHUP) && !sigismember(&now, SIGTERM));
	EXPECT(mxcsr() == 0x1f80);
	depth++;
}

static void beginnings(void)
{
	struct sigaction action = { .sa_sigaction = begins, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	unsigned odd = 0x1f80 | 0x6000, usual = 0x1f80;
	sigset_t now;

	take_stack(least() + 8192, 0);
	sigaddset(&action.sa_mask, SIGHUP);
	CHECK(!sigaction(SIGUSR1, &action, NULL));
	__asm__ volatile("ldmxcsr %0" : : "m"(odd));
	SENT(SIGUSR1);
	CHECK(depth == 1 && mxcsr() == odd);
	__asm__ volatile("ldmxcsr %0" : : "m"(usual));
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &now) && !sigismember(&now, SIGUSR1) && !sigismember(&now, SIGHUP));
	leave_stack();
}

static int check(void)
{
	pthread_t other;

	sizes();
	the_call();
	auto_disarm();
	left();
	beginnings();
	deadly();
	threads();
	sizes();
	on(SIGSEGV, overflown, SA_ONSTACK);
	CHECK(!pthread_create(&other, NULL, overflow, NULL) && !pthread_join(other, NULL));
	return 0;
}
