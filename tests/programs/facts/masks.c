/* SPDX-License-Identifier: GPL-2.0-only */
/* Waits under a mask of their own: a signal that waits, and that the mask lets through, ends the wait at once, and nothing
 * else than such a wait runs its handler (pselect(2)). */
#include "fact.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

enum { PPOLL, PSELECT, EPOLL_PWAIT, EPOLL_PWAIT2, WAYS };

static volatile sig_atomic_t handled;
static volatile int rounds;
static sigset_t open_mask, usr;
static int fifo, set;

static void handler(int number)
{
	(void)number;
	handled++;
}

static int wait_by(int way, int ms, const sigset_t *mask)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
	struct pollfd entry = { fifo, POLLIN, 0 };
	struct epoll_event event;
	fd_set readable;

	switch (way) {
	case PPOLL:
		return ppoll(&entry, 1, &time, mask);
	case PSELECT:
		FD_ZERO(&readable);
		FD_SET(fifo, &readable);
		return pselect(fifo + 1, &readable, NULL, NULL, &time, mask);
	case EPOLL_PWAIT:
		return epoll_pwait(set, &event, 1, ms, mask);
	default:
		return syscall(SYS_epoll_pwait2, set, &event, 1, &time, mask, (size_t)8);
	}
}

static int is_pending(void)
{
	sigset_t pending;

	CHECK(!sigpending(&pending));
	return sigismember(&pending, SIGUSR1);
}

static int is_blocked(void)
{
	sigset_t now;

	CHECK(!pthread_sigmask(SIG_SETMASK, NULL, &now));
	return sigismember(&now, SIGUSR1);
}

static void waits_already(int way)
{
	double begin = now_s();

	handled = 0;
	CHECK(!kill(getpid(), SIGUSR1) && !handled);
	FAILS(wait_by(way, 20000, &open_mask), EINTR);
	CHECK(handled == 1 && now_s() - begin < 10 && is_blocked() && !is_pending());
	/* a mask that does not let the signal through does not */
	CHECK(!raise(SIGUSR1) && wait_by(way, 20, &usr) == 0 && handled == 1 && is_pending());
	FAILS(wait_by(way, 20000, &open_mask), EINTR);
	CHECK(handled == 2);
	/* two at once, with and without a value */
	signal(SIGUSR2, handler);
	CHECK(!raise(SIGUSR1) && !raise(SIGUSR2) && handled == 2);
	FAILS(wait_by(way, 20000, &open_mask), EINTR);
	CHECK(handled == 4 && is_blocked());
}

/* What is ready comes first, and then no handler runs. */
static void ready_comes_first(int way)
{
	char byte;

	handled = 0;
	CHECK(write(fifo, "x", 1) == 1 && !raise(SIGUSR1));
	CHECK(wait_by(way, 20000, &open_mask) == 1 && !handled && is_pending() && is_blocked());
	CHECK(read(fifo, &byte, 1) == 1);
	FAILS(wait_by(way, 20000, &open_mask), EINTR);
	CHECK(handled == 1 && is_blocked());
}

static void nobody_cares(int way)
{
	/* ignored: the wait goes on, but for those that never start again (signal(7)) */
	if (way >= EPOLL_PWAIT)
		return;
	CHECK(signal(SIGUSR1, SIG_IGN) == handler && !raise(SIGUSR1));
	CHECK(wait_by(way, 30, &open_mask) == 0);
	CHECK(signal(SIGUSR1, handler) == SIG_IGN);
}

struct sender { pthread_t to; int count; };

static void *send(void *arg)
{
	struct sender *sender = arg;

	for (int i = 0; i < sender->count; i++) {
		CHECK(!pthread_kill(sender->to, SIGUSR1));
		while (rounds <= i)
			sched_yield();
	}
	return NULL;
}

/* One signal a round, at any moment: before the wait, in the gap, in the wait. None is lost, each ends one wait. */
static void in_the_gap(int way)
{
	struct sender sender = { pthread_self(), 300 };
	pthread_t thread;

	handled = 0;
	rounds = 0;
	CHECK(!pthread_create(&thread, NULL, send, &sender));
	for (int i = 0; i < sender.count; i++) {
		double begin = now_s();
		FAILS(wait_by(way, 20000, &open_mask), EINTR);
		CHECK(handled == i + 1 && now_s() - begin < 10);
		rounds++;
	}
	CHECK(!pthread_join(thread, NULL) && is_blocked());
}

static sigjmp_buf jump;

static void jumper(int number)
{
	(void)number;
	siglongjmp(jump, 1);
}

static void jumps_out(int way)
{
	signal(SIGUSR1, jumper);
	for (int i = 0; i < 3; i++) {
		CHECK(!raise(SIGUSR1));
		if (!sigsetjmp(jump, 1)) {
			wait_by(way, 20000, &open_mask);
			CHECK(!"reached");
		}
		CHECK(is_blocked() && !access(HELLO, F_OK));
	}
	signal(SIGUSR1, handler);
}

static void wrong_masks(void)
{
	struct timespec none = { 0, 0 };
	struct pollfd entry = { fifo, POLLIN, 0 };
	struct epoll_event event;
	struct { const void *mask; size_t size; } pair = { &open_mask, 4 };
	fd_set readable;

	FAILS(syscall(SYS_ppoll, &entry, 1, &none, &open_mask, (size_t)4), EINVAL);
	FAILS(syscall(SYS_ppoll, &entry, 1, &none, (void *)8, (size_t)8), EFAULT);
	FAILS(syscall(SYS_epoll_pwait, set, &event, 1, 0, &open_mask, (size_t)16), EINVAL);
	FAILS(syscall(SYS_epoll_pwait, set, &event, 1, 0, (void *)8, (size_t)8), EFAULT);
	FD_ZERO(&readable);
	FD_SET(fifo, &readable);
	FAILS(syscall(SYS_pselect6, fifo + 1, &readable, NULL, NULL, &none, &pair), EINVAL);
	pair.mask = (void *)8, pair.size = 8;
	FAILS(syscall(SYS_pselect6, fifo + 1, &readable, NULL, NULL, &none, &pair), EFAULT);
}

static int check(void)
{
	struct epoll_event event = { .events = EPOLLIN };

	CHECK(signal(SIGUSR1, handler) == SIG_DFL);
	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	sigaddset(&usr, SIGUSR2);
	CHECK(!pthread_sigmask(SIG_BLOCK, &usr, &open_mask));
	fifo = open(at(D, "fifo"), O_RDWR | O_NONBLOCK);
	set = epoll_create1(0);
	CHECK(fifo >= 0 && !epoll_ctl(set, EPOLL_CTL_ADD, fifo, &event));
	for (int way = 0; way < WAYS; way++) {
		waits_already(way);
		ready_comes_first(way);
		nobody_cares(way);
		in_the_gap(way);
		jumps_out(way);
	}
	wrong_masks();
	return 0;
}
