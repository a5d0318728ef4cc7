/* SPDX-License-Identifier: GPL-2.0-only */
/* Waits for files of two kernels in one call: named pipes of the directory under test, and pipes, eventfds and timers of
 * the host. */
#include "fact.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>

#define FEW 8
static int pipes[2];		/* the host's */
static int fifo;		/* the directory's */
static int fifos;

static int new_fifo(void)
{
	char name[32];

	snprintf(name, sizeof(name), "fifo%d", fifos++);
	CHECK(!mkfifo(at(D, name), 0600));
	int fd = open(at(D, name), O_RDWR | O_NONBLOCK);
	CHECK(fd >= 0);
	return fd;
}

static void new_pipe(int both[2]) { CHECK(!pipe2(both, O_NONBLOCK)); }
static void put(int fd) { CHECK(write(fd, "x", 1) == 1); }
static void take(int fd) { char byte; CHECK(read(fd, &byte, 1) == 1); }

/* ---- later, from another thread or process ---- */

struct later { int fd, ms; };

static void *put_later(void *arg)
{
	struct later *later = arg;

	sleep_ms(later->ms);
	put(later->fd);
	return NULL;
}

static pthread_t in_ms(struct later *later)
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, put_later, later));
	return thread;
}

/* ---- poll ---- */

static void polls(void)
{
	struct pollfd fds[] = { { fifo, POLLIN, -1 }, { pipes[0], POLLIN, -1 }, { -7, POLLIN, -1 }, { fifo, POLLOUT, -1 }, { 999, POLLIN, -1 } };

	CHECK(poll(fds, 3, 0) == 0 && !fds[0].revents && !fds[1].revents && !fds[2].revents);
	double start = now_s();
	CHECK(poll(fds, 3, 60) == 0 && now_s() - start > 0.059 && now_s() - start < 2);
	CHECK(poll(fds, 4, -1) == 1 && fds[3].revents == POLLOUT && !fds[0].revents);
	CHECK(poll(fds, 5, -1) == 2 && fds[4].revents == POLLNVAL && fds[3].revents == POLLOUT);
	put(fifo);
	CHECK(poll(fds, 3, -1) == 1 && fds[0].revents == POLLIN && !fds[1].revents);
	put(pipes[1]);
	CHECK(poll(fds, 3, -1) == 2 && fds[0].revents == POLLIN && fds[1].revents == POLLIN);
	take(fifo);
	CHECK(poll(fds, 3, -1) == 1 && !fds[0].revents && fds[1].revents == POLLIN);
	take(pipes[0]);

	for (int i = 0; i < 40; i++) {
		struct later later = { i % 2 ? fifo : pipes[1], i % 4 < 2 ? 0 : 5 };
		pthread_t thread = in_ms(&later);
		CHECK(poll(fds, 2, 5000) == 1 && fds[!(i % 2)].revents == POLLIN && !fds[i % 2].revents);
		take(i % 2 ? fifo : pipes[0]);
		CHECK(!pthread_join(thread, NULL));
	}

	struct timespec left = { 5, 0 }, bad = { 0, 1000000000 };
	struct later later = { fifo, 30 };
	pthread_t thread = in_ms(&later);
	CHECK(syscall(SYS_ppoll, fds, 2, &left, NULL, 8) == 1 && left.tv_sec == 4);
	CHECK(!pthread_join(thread, NULL));
	take(fifo);
	FAILS(syscall(SYS_ppoll, fds, 2, &bad, NULL, 8), EINVAL);
	FAILS(syscall(SYS_ppoll, fds, 2, (void *)8, NULL, 8), EFAULT);
	FAILS(syscall(SYS_ppoll, fds, 2, NULL, (void *)8, 8), EFAULT);
	FAILS(syscall(SYS_ppoll, fds, 2, NULL, fds, 7), EINVAL);
	left = (struct timespec){ 0, 0 };
	CHECK(syscall(SYS_ppoll, fds, 2, &left, NULL, 8) == 0 && !left.tv_sec && !left.tv_nsec);

	/* the other ends are closed */
	int own[2], ends;
	new_pipe(own);
	close(own[1]);
	struct pollfd hung[] = { { own[0], POLLIN, 0 }, { fifo, POLLIN, 0 } };
	CHECK(poll(hung, 2, -1) == 1 && hung[0].revents == POLLHUP);
	close(own[0]);
	CHECK((ends = open(at(D, "fifo0"), O_RDONLY | O_NONBLOCK)) >= 0);
	close(ends);
}

static void many_files(void)
{
	enum { MANY = 300 };
	static struct pollfd fds[MANY];
	static int ends[MANY][2], writers[MANY];

	for (int i = 0; i < MANY; i++) {
		if (i % 3)
			new_pipe(ends[i]), writers[i] = ends[i][1];
		else
			ends[i][0] = writers[i] = new_fifo();
		fds[i] = (struct pollfd){ ends[i][0], POLLIN, 0 };
	}
	CHECK(poll(fds, MANY, 0) == 0);
	for (int i = 0; i < MANY; i += 7)
		put(writers[i]);
	CHECK(poll(fds, MANY, -1) == (MANY + 6) / 7);
	for (int i = 0; i < MANY; i++)
		CHECK(fds[i].revents == (i % 7 ? 0 : POLLIN));
	for (int i = 0; i < MANY; i++) {
		close(ends[i][0]);
		if (i % 3)
			close(ends[i][1]);
	}
	CHECK(poll(fds, MANY, -1) == MANY && fds[0].revents == POLLNVAL && fds[1].revents == POLLNVAL);
}

/* ---- select ---- */

static void set_of(fd_set *to, int a, int b)
{
	FD_ZERO(to);
	FD_SET(a, to);
	if (b >= 0)
		FD_SET(b, to);
}

static void selects(void)
{
	int end = (fifo > pipes[1] ? fifo : pipes[1]) + 1;
	fd_set in, out, other;
	struct timeval left = { 0, 50000 };

	set_of(&in, fifo, pipes[0]);
	double start = now_s();
	CHECK(select(end, &in, NULL, NULL, &left) == 0 && now_s() - start > 0.049 && !FD_ISSET(fifo, &in) && !FD_ISSET(pipes[0], &in));
	CHECK(!left.tv_sec && !left.tv_usec);
	set_of(&in, fifo, pipes[0]);
	set_of(&out, fifo, pipes[1]);
	set_of(&other, fifo, pipes[0]);
	put(pipes[1]);
	CHECK(select(end, &in, &out, &other, NULL) == 3 && FD_ISSET(pipes[0], &in) && !FD_ISSET(fifo, &in));
	CHECK(FD_ISSET(fifo, &out) && FD_ISSET(pipes[1], &out) && !FD_ISSET(fifo, &other) && !FD_ISSET(pipes[0], &other));
	take(pipes[0]);
	for (int i = 0; i < 10; i++) {
		struct later later = { i % 2 ? fifo : pipes[1], i % 3 };
		pthread_t thread = in_ms(&later);
		set_of(&in, fifo, pipes[0]);
		left = (struct timeval){ 4, 1000000 };
		CHECK(select(end, &in, NULL, NULL, &left) == 1 && FD_ISSET(i % 2 ? fifo : pipes[0], &in) && left.tv_sec == 4);
		take(i % 2 ? fifo : pipes[0]);
		CHECK(!pthread_join(thread, NULL));
	}
	set_of(&in, fifo, pipes[0]);
	FD_SET(end + 3, &in);
	FAILS(select(end + 4, &in, NULL, NULL, NULL), EBADF);
	CHECK(FD_ISSET(fifo, &in) && FD_ISSET(pipes[0], &in));
	left = (struct timeval){ 0, -1 };
	set_of(&in, fifo, pipes[0]);
	FAILS(select(end, &in, NULL, NULL, &left), EINVAL);
	FAILS(select(end, &in, (void *)8, NULL, NULL), EFAULT);

	/* an end of file alone does not count as exceptional */
	int own[2];
	new_pipe(own);
	close(own[1]);
	set_of(&other, own[0], fifo);
	left = (struct timeval){ 0, 20000 };
	start = now_s();
	CHECK(select(own[0] > fifo ? own[0] + 1 : end, NULL, NULL, &other, &left) == 0 && now_s() - start > 0.019);
	set_of(&in, own[0], fifo);
	CHECK(select(own[0] > fifo ? own[0] + 1 : end, &in, NULL, NULL, NULL) == 1 && FD_ISSET(own[0], &in));
	close(own[0]);
	struct timespec time = { 0, 10000000 };
	set_of(&in, fifo, pipes[0]);
	CHECK(pselect(end, &in, NULL, NULL, &time, NULL) == 0);
}

/* ---- epoll ---- */

static int new_set(void)
{
	int set = epoll_create1(EPOLL_CLOEXEC);

	CHECK(set >= 0);
	return set;
}

static int add(int set, int fd, uint32_t what, uint64_t data)
{
	struct epoll_event event = { .events = what, .data.u64 = data };

	return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
}

static int mod(int set, int fd, uint32_t what, uint64_t data)
{
	struct epoll_event event = { .events = what, .data.u64 = data };

	return epoll_ctl(set, EPOLL_CTL_MOD, fd, &event);
}

static int del(int set, int fd) { return epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL); }

/* which of the events has this word; -1: none */
static int find(const struct epoll_event *all, int n, uint64_t data)
{
	for (int i = 0; i < n; i++)
		if (all[i].data.u64 == data)
			return i;
	return -1;
}

static struct epoll_event events[FEW];
static int wait_ms(int set, int ms) { return epoll_wait(set, events, FEW, ms); }

static void epolls(int first_is_fifo)
{
	int set = new_set();
	uint64_t a = 0, b = ~0ull;

	if (first_is_fifo) {
		CHECK(!add(set, fifo, EPOLLIN, a) && wait_ms(set, 0) == 0 && !add(set, pipes[0], EPOLLIN, b));
	} else {
		CHECK(!add(set, pipes[0], EPOLLIN, b) && wait_ms(set, 0) == 0 && !add(set, fifo, EPOLLIN, a));
	}
	FAILS(add(set, fifo, EPOLLIN, a), EEXIST);
	FAILS(add(set, pipes[0], EPOLLIN, a), EEXIST);
	FAILS(mod(set, pipes[1], EPOLLIN, a), ENOENT);
	FAILS(epoll_ctl(set, 9, fifo, events), EINVAL);
	FAILS(epoll_ctl(set, 9, pipes[0], events), EINVAL);
	FAILS(add(set, set, EPOLLIN, a), EINVAL);
	FAILS(add(set, 999, EPOLLIN, a), EBADF);
	FAILS(add(set, open(HELLO, O_RDONLY), EPOLLIN, a), EPERM);
	FAILS(epoll_wait(set, events, 0, 0), EINVAL);
	FAILS(syscall(SYS_epoll_wait, set, events, -1, 0), EINVAL);

	double start = now_s();
	CHECK(wait_ms(set, 60) == 0 && now_s() - start > 0.059 && now_s() - start < 2);
	put(fifo);
	CHECK(wait_ms(set, -1) == 1 && events[0].data.u64 == a && events[0].events == EPOLLIN);
	put(pipes[1]);
	CHECK(wait_ms(set, -1) == 2 && find(events, 2, a) >= 0 && find(events, 2, b) >= 0);
	FAILS(syscall(SYS_epoll_wait, set, (void *)8, FEW, -1), EFAULT);
	/* with room for one, each has its turn */
	int seen[2] = { 0, 0 };
	for (int i = 0; i < 10; i++) {
		CHECK(epoll_wait(set, events, 1, -1) == 1);
		seen[events[0].data.u64 == a]++;
	}
	CHECK(seen[0] > 1 && seen[1] > 1);
	take(fifo);
	CHECK(wait_ms(set, -1) == 1 && events[0].data.u64 == b);
	take(pipes[0]);
	CHECK(wait_ms(set, 0) == 0);

	for (int i = 0; i < 40; i++) {
		struct later later = { i % 2 ? fifo : pipes[1], i % 4 < 2 ? 0 : 5 };
		pthread_t thread = in_ms(&later);
		CHECK(wait_ms(set, 5000) == 1 && events[0].data.u64 == (i % 2 ? a : b));
		take(i % 2 ? fifo : pipes[0]);
		CHECK(!pthread_join(thread, NULL));
	}

	/* edge, then once */
	CHECK(!mod(set, fifo, EPOLLIN | EPOLLET, 1) && !mod(set, pipes[0], EPOLLIN | EPOLLET, 2));
	put(fifo), put(pipes[1]);
	CHECK(wait_ms(set, 100) == 2 && wait_ms(set, 10) == 0);
	put(fifo);
	CHECK(wait_ms(set, 100) == 1 && events[0].data.u64 == 1 && wait_ms(set, 0) == 0);
	put(pipes[1]);
	CHECK(wait_ms(set, 100) == 1 && events[0].data.u64 == 2 && wait_ms(set, 0) == 0);
	CHECK(!mod(set, fifo, EPOLLIN | EPOLLONESHOT, 3) && !mod(set, pipes[0], EPOLLIN | EPOLLONESHOT, 4));
	CHECK(wait_ms(set, 100) == 2 && wait_ms(set, 10) == 0);
	put(fifo), put(pipes[1]);
	CHECK(wait_ms(set, 10) == 0);
	CHECK(!mod(set, fifo, EPOLLIN | EPOLLONESHOT, 5) && wait_ms(set, 100) == 1 && events[0].data.u64 == 5);
	for (int i = 0; i < 3; i++)
		take(fifo), take(pipes[0]);

	/* taken out, and in again */
	CHECK(!del(set, fifo) && !add(set, fifo, EPOLLIN, 6) && !del(set, pipes[0]));
	put(fifo), put(pipes[1]);
	CHECK(wait_ms(set, 100) == 1 && events[0].data.u64 == 6);
	FAILS(del(set, pipes[0]), ENOENT);
	CHECK(!add(set, pipes[0], EPOLLIN, 7) && wait_ms(set, 100) == 2 && !del(set, fifo));
	CHECK(wait_ms(set, 100) == 1 && events[0].data.u64 == 7);
	take(fifo), take(pipes[0]);
	close(set);
}

/* timespec and mask, in all forms */
static void forms(void)
{
	int set = new_set();
	struct timespec short_time = { 0, 20000000 }, bad = { -1, 0 };
	sigset_t none;

	sigemptyset(&none);
	CHECK(!add(set, fifo, EPOLLIN, 1) && !add(set, pipes[0], EPOLLIN, 2));
	CHECK(epoll_pwait(set, events, FEW, 20, &none) == 0);
	CHECK(syscall(SYS_epoll_pwait2, set, events, FEW, &short_time, NULL, 8) == 0);
	FAILS(syscall(SYS_epoll_pwait2, set, events, FEW, &bad, NULL, 8), EINVAL);
	FAILS(syscall(SYS_epoll_pwait2, set, events, FEW, (void *)8, NULL, 8), EFAULT);
	FAILS(syscall(SYS_epoll_pwait, set, events, FEW, 0, &none, 7), EINVAL);
	put(fifo);
	CHECK(syscall(SYS_epoll_pwait2, set, events, FEW, NULL, NULL, 8) == 1);
	take(fifo);
	close(set);
	set = epoll_create(1);
	CHECK(set >= 0 && !add(set, pipes[0], EPOLLIN, 2) && !add(set, fifo, EPOLLIN, 1));
	close(set);
}

/* descriptors that are closed, copied and used again while they are members */
static void numbers(void)
{
	int set = new_set(), a = new_fifo(), ends[2], copy;

	new_pipe(ends);
	CHECK(!add(set, a, EPOLLIN, 1) && !add(set, ends[0], EPOLLIN, 2));
	put(a), put(ends[1]);
	CHECK((copy = dup(a)) >= 0 && !close(a) && wait_ms(set, 100) == 2);
	FAILS(del(set, a), EBADF);
	take(copy);
	CHECK(wait_ms(set, 100) == 1 && events[0].data.u64 == 2 && !close(copy));
	/* the number is another kernel's now */
	CHECK(dup2(ends[0], a) == a && !add(set, a, EPOLLIN, 3));
	CHECK(wait_ms(set, 100) == 2 && find(events, 2, 2) >= 0 && find(events, 2, 3) >= 0);
	CHECK(!close(ends[0]) && wait_ms(set, 100) == 2 && !close(a) && wait_ms(set, 20) == 0);
	int b = new_fifo();
	CHECK(dup2(b, ends[0]) == ends[0] && !add(set, ends[0], EPOLLIN, 4));
	put(b);
	CHECK(wait_ms(set, 100) == 1 && events[0].data.u64 == 4 && !close(ends[0]) && !close(b) && wait_ms(set, 20) == 0);
	close(ends[1]);

	/* copies of the set: before it has a member, and after */
	int early = dup(set), empty = new_set(), twin = dup(empty), third = fcntl(empty, F_DUPFD_CLOEXEC, 100);
	CHECK(!add(early, fifo, EPOLLIN, 5) && !add(early, pipes[0], EPOLLIN, 6));
	put(fifo), put(pipes[1]);
	CHECK(wait_ms(set, 100) == 2 && wait_ms(early, 100) == 2);
	CHECK(third >= 100 && !add(empty, fifo, EPOLLIN, 7) && wait_ms(twin, 100) == 1 && events[0].data.u64 == 7);
	CHECK(!add(twin, pipes[0], EPOLLIN, 8) && wait_ms(third, 100) == 2 && !close(empty) && wait_ms(twin, 100) == 2);
	CHECK(dup2(twin, third) == third && wait_ms(third, 100) == 2 && !close(twin) && wait_ms(third, 100) == 2);
	CHECK(dup2(third, 77) == 77 && wait_ms(77, 100) == 2 && dup2(fifo, 77) == 77);
	FAILS(wait_ms(77, 0), EINVAL);
	FAILS(add(77, pipes[0], EPOLLIN, 0), EINVAL);
	FAILS(add(77, fifo, EPOLLIN, 0), EINVAL);
	CHECK(!close(77));
	FAILS(wait_ms(77, 0), EBADF);
	take(fifo), take(pipes[0]);
	close(set), close(early), close(third);
}

/* sets in sets, and sets in poll */
static void nested(void)
{
	int inner = new_set(), outer = new_set(), hosts = new_set();

	CHECK(!add(inner, fifo, EPOLLIN, 1) && !add(inner, pipes[0], EPOLLIN, 2));
	CHECK(!add(outer, inner, EPOLLIN, 3) && wait_ms(outer, 20) == 0);
	struct pollfd fds[] = { { inner, POLLIN, 0 }, { outer, POLLIN, 0 } };
	CHECK(poll(fds, 2, 20) == 0);
	put(fifo);
	CHECK(wait_ms(outer, 100) == 1 && events[0].data.u64 == 3 && events[0].events == EPOLLIN && poll(fds, 2, -1) == 2);
	put(pipes[1]);
	CHECK(wait_ms(outer, 100) == 1 && poll(fds, 2, -1) == 2 && wait_ms(inner, 0) == 2);
	take(fifo);
	CHECK(wait_ms(outer, 100) == 1 && poll(fds, 2, -1) == 2);
	take(pipes[0]);
	CHECK(wait_ms(outer, 20) == 0 && poll(fds, 2, 20) == 0);
	for (int i = 0; i < 10; i++) {
		struct later later = { i % 2 ? fifo : pipes[1], i % 3 };
		pthread_t thread = in_ms(&later);
		if (i < 6)
			CHECK(wait_ms(outer, 5000) == 1 && events[0].data.u64 == 3);
		else
			CHECK(poll(fds + 1, 1, 5000) == 1 && fds[1].revents == POLLIN);
		take(i % 2 ? fifo : pipes[0]);
		CHECK(!pthread_join(thread, NULL));
	}
	FAILS(add(inner, outer, EPOLLIN, 3), ELOOP);
	CHECK(!del(outer, inner));
	put(fifo);
	CHECK(wait_ms(outer, 20) == 0 && wait_ms(inner, 20) == 1);
	take(fifo);

	/* a set of the host's files in one of both */
	CHECK(!add(hosts, pipes[0], EPOLLIN, 1) && !add(outer, hosts, EPOLLIN, 4) && !add(outer, fifo, EPOLLIN, 5));
	put(pipes[1]), put(fifo);
	CHECK(wait_ms(outer, 100) == 2 && find(events, 2, 4) >= 0 && find(events, 2, 5) >= 0);
	take(pipes[0]), take(fifo);
	close(inner), close(outer), close(hosts);
}

/* the host's other descriptors */
static void others(void)
{
	int set = new_set(), counter = eventfd(0, EFD_NONBLOCK), timer = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec time = { .it_value = { 0, 30000000 } };
	uint64_t count = 1;

	CHECK(!add(set, fifo, EPOLLIN, 1) && !add(set, counter, EPOLLIN, 2) && !add(set, timer, EPOLLIN, 3));
	CHECK(!timerfd_settime(timer, 0, &time, NULL) && wait_ms(set, 5000) == 1 && events[0].data.u64 == 3);
	CHECK(read(timer, &count, 8) == 8 && count == 1 && write(counter, &count, 8) == 8);
	CHECK(wait_ms(set, 5000) == 1 && events[0].data.u64 == 2 && read(counter, &count, 8) == 8);
	close(set), close(counter), close(timer);
}

/* ---- threads ---- */

static int shared_set;
static _Atomic int woken, rounds;
static _Atomic pid_t sleeper;

static void *sleep_in_set(void *arg)
{
	struct epoll_event event;

	(void)arg;
	sleeper = gettid();
	if (epoll_wait(shared_set, &event, 1, 10000) == 1)
		woken++;
	return NULL;
}

/* A thread sleeps in a set that gets its first file of the other kernel meanwhile. */
static void joins_amid_sleep(int has_fifo)
{
	enum { THREADS = 3 };
	pthread_t threads[THREADS];

	shared_set = new_set();
	woken = 0;
	if (has_fifo >= 0)
		CHECK(!add(shared_set, has_fifo ? fifo : pipes[0], EPOLLIN, 1));
	for (int i = 0; i < THREADS; i++) {
		sleeper = 0;
		CHECK(!pthread_create(&threads[i], NULL, sleep_in_set, NULL));
		EVENTUALLY(sleeper);
		until_asleep(sleeper);
	}
	int other = has_fifo > 0 ? pipes[0] : fifo, end = has_fifo > 0 ? pipes[1] : fifo;
	CHECK(!add(shared_set, other, EPOLLIN, 2));
	sleep_ms(20);
	CHECK(!woken);
	put(end);
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	CHECK(woken == THREADS);
	take(other);
	CHECK(wait_ms(shared_set, 0) == 0);
	close(shared_set);
}

/* Each event of a set that threads share is taken once, and none is left. */
enum { EVENTS = 2000 };

static void *take_events(void *arg)
{
	struct epoll_event event;
	char byte;

	(void)arg;
	while (rounds < EVENTS) {
		int n = epoll_wait(shared_set, &event, 1, 20000);
		if (n != 1)
			return (void *)1;
		if (event.data.fd == -1)
			break;
		while (read(event.data.fd, &byte, 1) == 1)
			rounds++;
	}
	return NULL;
}

static void shared_by_threads(uint32_t flags)
{
	enum { THREADS = 4, FILES = 6 };
	pthread_t threads[THREADS];
	int writers[FILES], ends[2], stop[2];

	shared_set = new_set();
	rounds = 0;
	for (int i = 0; i < FILES; i++) {
		int fd = i % 2 ? new_fifo() : (new_pipe(ends), ends[0]);
		writers[i] = i % 2 ? fd : ends[1];
		struct epoll_event event = { .events = EPOLLIN | flags, .data.fd = fd };
		CHECK(!epoll_ctl(shared_set, EPOLL_CTL_ADD, fd, &event));
	}
	new_pipe(stop);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = -1 };
	CHECK(!epoll_ctl(shared_set, EPOLL_CTL_ADD, stop[0], &event));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, take_events, NULL));
	for (int i = 0; i < EVENTS; i++) {
		put(writers[i * 7 % FILES]);
		if (i % 64 == 0)
			sleep_ms(1);
	}
	EVENTUALLY(rounds == EVENTS);
	put(stop[1]);
	for (int i = 0; i < THREADS; i++) {
		void *wrong;
		CHECK(!pthread_join(threads[i], &wrong) && !wrong);
	}
	close(shared_set);
}

/* ---- signals ---- */

static volatile sig_atomic_t handled;
static sigjmp_buf back;
static int jumps;

static void on_signal(int number)
{
	(void)number;
	handled++;
	if (jumps)
		siglongjmp(back, 1);
}

static void *signal_later(void *arg)
{
	until_asleep(*(pid_t *)arg);
	CHECK(!kill(getpid(), SIGUSR1));
	return NULL;
}

/* The wait ends at once with EINTR, and the handler has run once. */
#define INTERRUPTED(call) do { \
	handled = 0; \
	double began = now_s(); \
	FAILS(call, EINTR); \
	CHECK(handled == 1 && now_s() - began < 2); \
} while (0)

static void signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct pollfd fds[] = { { fifo, POLLIN, 0 }, { pipes[0], POLLIN, 0 } };
	struct timespec time = { 10, 0 }, zero = { 0, 0 };
	int set = new_set(), end = (fifo > pipes[0] ? fifo : pipes[0]) + 1;
	pid_t me = gettid();
	sigset_t usr1, open;
	pthread_t thread;
	fd_set in;

	CHECK(!add(set, fifo, EPOLLIN, 1) && !add(set, pipes[0], EPOLLIN, 2));
	CHECK(!sigaction(SIGUSR1, &action, NULL));
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	/* in the middle */
	for (int i = 0; i < 6; i++) {
		sigset_t all;
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &open);
		CHECK(!pthread_create(&thread, NULL, signal_later, &me));
		pthread_sigmask(SIG_SETMASK, &open, NULL);
		set_of(&in, fifo, pipes[0]);
		switch (i % 3) {
		case 0: INTERRUPTED(poll(fds, 2, 10000)); break;
		case 1: INTERRUPTED(wait_ms(set, -1)); break;
		case 2: INTERRUPTED(select(end, &in, NULL, NULL, NULL)); break;
		}
		CHECK(!pthread_join(thread, NULL));
	}
	/* one that waits, and that the mask of the call lets through */
	pthread_sigmask(SIG_BLOCK, &usr1, &open);
	for (int i = 0; i < 50; i++) {
		CHECK(!raise(SIGUSR1));
		INTERRUPTED(ppoll(fds, 2, &time, &open));
		CHECK(!raise(SIGUSR1));
		INTERRUPTED(ppoll(fds, 2, &zero, &open));
		CHECK(!raise(SIGUSR1));
		INTERRUPTED(epoll_pwait(set, events, FEW, 10000, &open));
		CHECK(!raise(SIGUSR1));
		set_of(&in, fifo, pipes[0]);
		INTERRUPTED(pselect(end, &in, NULL, NULL, &time, &open));
	}
	/* what is ready counts more, and then the handler does not run */
	put(fifo);
	CHECK(!raise(SIGUSR1));
	handled = 0;
	CHECK(ppoll(fds, 2, &time, &open) == 1 && epoll_pwait(set, events, FEW, -1, &open) == 1 && !handled);
	take(fifo);
	put(pipes[1]);
	CHECK(ppoll(fds, 2, &time, &open) == 1 && epoll_pwait(set, events, FEW, -1, &open) == 1 && !handled);
	take(pipes[0]);
	CHECK(epoll_pwait(set, events, FEW, 0, &open) == 0 && !handled);
	INTERRUPTED(ppoll(fds, 2, &time, &open));
	/* a jump out of the handler: the next wait is as any other */
	pthread_sigmask(SIG_SETMASK, &open, NULL);
	for (int i = 0; i < 4; i++) {
		jumps = 1;
		if (!sigsetjmp(back, 1)) {
			CHECK(!pthread_create(&thread, NULL, signal_later, &me));
			if (i % 2)
				poll(fds, 2, -1);
			else
				wait_ms(set, -1);
			CHECK(0);
		}
		jumps = 0;
		CHECK(!pthread_join(thread, NULL) && wait_ms(set, 0) == 0 && poll(fds, 2, 5) == 0);
		put(fifo);
		CHECK(wait_ms(set, -1) == 1 && poll(fds, 2, -1) == 1);
		take(fifo);
	}
	close(set);
}

/* a storm of signals and events: every event is seen */
static void storm(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };
	int set = new_set();

	CHECK(!sigaction(SIGALRM, &action, NULL));
	CHECK(!add(set, fifo, EPOLLIN, 1) && !add(set, pipes[0], EPOLLIN, 2));
	CHECK(!setitimer(ITIMER_REAL, &often, NULL));
	for (int i = 0; i < 300; i++) {
		struct pollfd fds[] = { { fifo, POLLIN, 0 }, { pipes[0], POLLIN, 0 } };
		int n;
		put(i % 2 ? fifo : pipes[1]);
		while ((n = i % 3 ? wait_ms(set, 5000) : poll(fds, 2, 5000)) < 0 && errno == EINTR)
			;
		CHECK(n == 1);
		take(i % 2 ? fifo : pipes[0]);
		n = i % 3 ? wait_ms(set, 2) : poll(fds, 2, 2);
		int why = errno;
		CHECK(n == 0 || (n < 0 && why == EINTR));
	}
	CHECK(!setitimer(ITIMER_REAL, &never, NULL));
	close(set);
}

static int check(void)
{
	new_pipe(pipes);
	fifo = new_fifo();
	polls();
	many_files();
	selects();
	epolls(0);
	epolls(1);
	forms();
	numbers();
	nested();
	others();
	for (int i = -1; i < 2; i++)
		joins_amid_sleep(i);
	shared_by_threads(0);
	shared_by_threads(EPOLLET);
	shared_by_threads(EPOLLEXCLUSIVE);
	signals();
	storm();
	return 0;
}
