/* SPDX-License-Identifier: GPL-2.0-only */
/* Signals that arrive while a thread waits inside the kernel that serves the directory: EINTR, restart, a jump out of
 * the handler, the alternate stack, cancellation. The waits are flock() between two threads and a named pipe. */
#include "fact.h"

static volatile sig_atomic_t handled;
static volatile uintptr_t handler_stack;
static sigjmp_buf jump;
static int jumps;
static _Atomic pid_t waiting;
static pthread_t waiter;

static void handler(int number)
{
	char here;

	(void)number;
	handled++;
	handler_stack = (uintptr_t)&here;
	if (jumps)
		siglongjmp(jump, 1);
}

static void catch(int number, int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	CHECK(!sigaction(number, &action, NULL));
}

struct wait { int fd, result, error; };

static void *wait_for_lock(void *arg)
{
	struct wait *wait = arg;

	waiting = gettid();
	wait->result = flock(wait->fd, LOCK_EX);
	wait->error = errno;
	waiting = 0;
	return NULL;
}

static void start_waiter(struct wait *wait)
{
	CHECK(!pthread_create(&waiter, NULL, wait_for_lock, wait));
	EVENTUALLY(waiting);
	until_asleep(waiting);
}

static void interrupted_and_restarted(void)
{
	int held = open(at(D, "lock"), O_CREAT | O_RDWR, 0644);
	struct wait wait = { .fd = open(at(D, "lock"), O_RDWR) };

	CHECK(held >= 0 && wait.fd >= 0 && !flock(held, LOCK_EX));
	catch(SIGUSR1, 0);
	start_waiter(&wait);
	handled = 0;
	CHECK(!pthread_kill(waiter, SIGUSR1) && !pthread_join(waiter, NULL));
	CHECK(wait.result == -1 && wait.error == EINTR && handled == 1);

	catch(SIGUSR1, SA_RESTART);
	start_waiter(&wait);
	handled = 0;
	for (int i = 1; i <= 5; i++) {
		CHECK(!pthread_kill(waiter, SIGUSR1));
		EVENTUALLY(handled == i);
		until_asleep(waiting);
	}
	CHECK(!flock(held, LOCK_UN) && !pthread_join(waiter, NULL) && wait.result == 0);
	CHECK(!flock(wait.fd, LOCK_UN) && !flock(held, LOCK_EX));
	FAILS(flock(wait.fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK(!close(held) && !close(wait.fd));
}

static void alarm_and_jump(void)
{
	/* again and again: the first alarm may come before the call */
	struct itimerval soon = { { 0, 50000 }, { 0, 50000 } }, never = { { 0, 0 }, { 0, 0 } };
	int held = open(at(D, "lock"), O_RDWR), fd = open(at(D, "lock"), O_RDWR);

	CHECK(!flock(held, LOCK_EX));
	catch(SIGALRM, 0);
	handled = 0;
	CHECK(!setitimer(ITIMER_REAL, &soon, NULL));
	FAILS(flock(fd, LOCK_EX), EINTR);
	CHECK(!setitimer(ITIMER_REAL, &never, NULL) && handled >= 1);
	soon.it_interval.tv_usec = 0;
	for (int i = 0; i < 20; i++) {
		soon.it_value.tv_usec = 5000;
		jumps = 1;
		handled = 0;
		if (!sigsetjmp(jump, 1)) {
			CHECK(!setitimer(ITIMER_REAL, &soon, NULL));
			flock(fd, LOCK_EX);
			CHECK(!"reached");
		}
		jumps = 0;
		CHECK(handled == 1 && !access(at(D, "hello.txt"), F_OK));
	}
	CHECK(!flock(held, LOCK_UN) && !flock(fd, LOCK_EX) && !close(held) && !close(fd));
}

static void alternate_stack(void)
{
	static char stack[65536];
	uintptr_t low = (uintptr_t)stack, high = low + sizeof(stack);
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) }, old;
	struct itimerval soon = { { 0, 30000 }, { 0, 30000 } }, never = { { 0, 0 }, { 0, 0 } };
	int held = open(at(D, "lock"), O_RDWR), fd = open(at(D, "lock"), O_RDWR);

	CHECK(!sigaltstack(&alternate, NULL) && !sigaltstack(NULL, &old) && old.ss_sp == stack && old.ss_size == sizeof(stack) && !flock(held, LOCK_EX));
	catch(SIGALRM, SA_ONSTACK);
	CHECK(!setitimer(ITIMER_REAL, &soon, NULL));
	FAILS(flock(fd, LOCK_EX), EINTR);
	CHECK(!setitimer(ITIMER_REAL, &never, NULL));
	CHECK(handler_stack >= low && handler_stack < high);
	CHECK(!raise(SIGALRM) && handler_stack >= low && handler_stack < high);
	alternate.ss_flags = SS_DISABLE;
	CHECK(!sigaltstack(&alternate, NULL));
	CHECK(!raise(SIGALRM) && !(handler_stack >= low && handler_stack < high));
	CHECK(!close(held) && !close(fd));
}

static void masked(void)
{
	sigset_t usr, pending, old;
	char byte;

	catch(SIGUSR1, 0);
	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	handled = 0;
	CHECK(!pthread_sigmask(SIG_BLOCK, &usr, &old) && !raise(SIGUSR1) && !sigpending(&pending) && sigismember(&pending, SIGUSR1));
	int fd = open(at(D, "hello.txt"), O_RDONLY);
	CHECK(fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'H' && !handled);
	CHECK(!pthread_sigmask(SIG_SETMASK, &old, NULL) && handled == 1 && !close(fd));
}

static void *open_for_reading(void *arg)
{
	char byte;

	int fd = open(at(D, "fifo"), O_RDONLY);
	waiting = gettid();
	ssize_t n = read(fd, &byte, 1);
	*(volatile int *)arg = n == 1 ? byte : -1;
	n = read(fd, &byte, 1); /* cancelled here */
	return (void *)n;
}

static void pipes_and_cancellation(void)
{
	volatile int got = 0;
	void *result;

	waiting = 0;
	FAILS(open(at(D, "fifo"), O_WRONLY | O_NONBLOCK), ENXIO);
	CHECK(!pthread_create(&waiter, NULL, open_for_reading, (void *)&got));
	int fd = open(at(D, "fifo"), O_WRONLY);
	CHECK(fd >= 0);
	EVENTUALLY(waiting);
	until_asleep(waiting);
	CHECK(write(fd, "z", 1) == 1);
	EVENTUALLY(got == 'z');
	until_asleep(waiting);
	CHECK(!pthread_cancel(waiter) && !pthread_join(waiter, &result) && result == PTHREAD_CANCELED && !close(fd));
}

static sigjmp_buf fault;
static void *fault_address;
static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	fault_address = info->si_addr;
	siglongjmp(fault, 1);
}

static void own_faults(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, old;

	CHECK(!sigaction(SIGSEGV, &action, NULL) && !access(at(D, "hello.txt"), F_OK));
	for (int i = 0; i < 3; i++) {
		if (!sigsetjmp(fault, 1)) {
			*(volatile char *)(0x1230L + i) = 1;
			CHECK(!"reached");
		}
		CHECK(fault_address == (void *)(0x1230L + i) && !access(at(D, "hello.txt"), F_OK));
		FAILS(access((char *)0x1230, F_OK), EFAULT);
	}
	CHECK(!sigaction(SIGSEGV, NULL, &old) && old.sa_sigaction == on_fault && (old.sa_flags & SA_SIGINFO));
	signal(SIGSEGV, SIG_DFL);
}

static int check(void)
{
	CHECK(!access(at(D, "hello.txt"), F_OK));
	interrupted_and_restarted();
	alarm_and_jump();
	alternate_stack();
	masked();
	pipes_and_cancellation();
	own_faults();
	return 0;
}
