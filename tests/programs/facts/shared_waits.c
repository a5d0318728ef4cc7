/* SPDX-License-Identifier: GPL-2.0-only */
/* Waits for files of two kernels in parents and children: sets that a child inherits, or a program that is executed;
 * events that another process makes; waiters that are killed. */
#include "fact.h"
#include <poll.h>
#include <sys/epoll.h>

static int fifo, pipes[2], back[2][2];

static void put(int fd) { CHECK(write(fd, "x", 1) == 1); }
static void take(int fd) { char byte; CHECK(read(fd, &byte, 1) == 1); }

static int add(int set, int fd, uint32_t what, uint64_t data)
{
	struct epoll_event event = { .events = what, .data.u64 = data };

	return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
}

static int new_set(void)
{
	int set = epoll_create1(0);

	CHECK(set >= 0 && !add(set, fifo, EPOLLIN, 1) && !add(set, pipes[0], EPOLLIN, 2));
	return set;
}

/* waits for one event and takes it, if nobody else was faster; its word */
static int one(int set)
{
	struct epoll_event event;
	char byte;

	while (epoll_wait(set, &event, 1, 10000) == 1)
		if (read(event.data.u64 == 1 ? fifo : pipes[0], &byte, 1) == 1)
			return event.data.u64;
	return 0;
}

/* how long the process may be late when another one rings */
static double longest;

static void ping_pong(int set, int parents)
{
	for (int i = 0; i < 200; i++) {
		if (i % 2 == parents) {
			put(i % 3 ? fifo : pipes[1]);
			take(back[parents][0]);
		} else {
			double start = now_s();
			CHECK(one(set) == (i % 3 ? 1 : 2));
			if (now_s() - start > longest)
				longest = now_s() - start;
			put(back[!parents][1]);
		}
	}
}

static void inherited_sets(void)
{
	int set = new_set();
	pid_t child = fork();

	CHECK(child >= 0);
	ping_pong(set, !child);
	if (!child)
		_exit(0);
	CHECK(!status_of(child));
	/* a child adds, and the parent waits */
	int more[2];
	CHECK(!pipe(more) && !mkfifo(at(D, "more"), 0600));
	int other = open(at(D, "more"), O_RDWR | O_NONBLOCK);
	child = fork();
	if (!child) {
		CHECK(!add(set, more[0], EPOLLIN, 3) && !add(set, other, EPOLLIN, 4));
		put(more[1]), put(other);
		_exit(0);
	}
	CHECK(!status_of(child));
	struct epoll_event events[4];
	CHECK(epoll_wait(set, events, 4, 5000) == 2);
	close(set), close(more[0]), close(more[1]), close(other);
}

/* sets of which one kind of files was there at the fork */
static void half_sets(void)
{
	for (int kind = 0; kind < 2; kind++) {
		int set = epoll_create1(0);
		CHECK(!add(set, fifo, EPOLLIN, 1));
		pid_t child = fork();
		if (!child) {
			CHECK(!add(set, pipes[0], EPOLLIN, 2));
			_exit(0);
		}
		CHECK(!status_of(child));
		put(kind ? fifo : pipes[1]);
		CHECK(one(set) == (kind ? 1 : 2));
		close(set);
	}
}

/* many wait for the same: each event wakes somebody */
static void crowd(void)
{
	enum { CHILDREN = 5 };
	int set = new_set();
	pid_t children[CHILDREN];

	for (int i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		if (!children[i])
			_exit(one(set));
	}
	sleep_ms(100);
	for (int i = 0; i < CHILDREN; i++) {
		put(i % 2 ? fifo : pipes[1]);
		sleep_ms(20);
	}
	for (int i = 0, all = 0; i < CHILDREN; i++) {
		int status = status_of(children[i]);
		CHECK(WIFEXITED(status));
		all += WEXITSTATUS(status);
		if (i == CHILDREN - 1)
			CHECK(all == 2 * 1 + 3 * 2);
	}
	close(set);
}

/* one that was killed while it waited, or was about to look, is not in the way */
static void killed(void)
{
	int set = new_set();

	for (int i = 0; i < 20; i++) {
		pid_t victim = fork(), child;
		if (!victim) {
			one(set);
			pause();
			_exit(0);
		}
		if (i % 2)
			sleep_ms(30);
		child = fork();
		if (!child)
			_exit(one(set));
		sleep_ms(30);
		CHECK(!kill(victim, SIGKILL));
		CHECK(status_of(victim) == SIGKILL);
		put(fifo);
		int status = status_of(child);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	}
	close(set);
}

static void polls(void)
{
	struct pollfd fds[] = { { fifo, POLLIN, 0 }, { pipes[0], POLLIN, 0 } };

	for (int i = 0; i < 20; i++) {
		pid_t child = fork();
		if (!child) {
			sleep_ms(i % 3 * 5);
			put(i % 2 ? fifo : pipes[1]);
			_exit(0);
		}
		CHECK(poll(fds, 2, 10000) == 1 && fds[!(i % 2)].revents == POLLIN);
		take(i % 2 ? fifo : pipes[0]);
		CHECK(!status_of(child));
	}
}

/* the program goes on as another one, with its set */
static void executed(void)
{
	char numbers[64];
	int set = new_set(), closed = new_set();

	CHECK(!fcntl(closed, F_SETFD, FD_CLOEXEC));
	snprintf(numbers, sizeof(numbers), "%d:%d:%d:%d:%d:%d:%d:%d:%d", set, closed, fifo, pipes[0], pipes[1], back[0][0], back[0][1], back[1][0], back[1][1]);
	pid_t child = fork();
	if (!child) {
		execl(SELF, SELF, D, H, numbers, NULL);
		_exit(99);
	}
	ping_pong(set, 1);
	CHECK(!status_of(child));
	close(set), close(closed);
}

static int after_exec(void)
{
	int set, closed;
	struct epoll_event event;

	CHECK(sscanf(ROLE, "%d:%d:%d:%d:%d:%d:%d:%d:%d", &set, &closed, &fifo, &pipes[0], &pipes[1], &back[0][0], &back[0][1],
		     &back[1][0], &back[1][1]) == 9);
	FAILS(epoll_wait(closed, &event, 1, 0), EBADF);
	ping_pong(set, 0);
	int own = new_set();
	put(fifo);
	CHECK(one(own) == 1);
	return 0;
}

static int check(void)
{
	if (ROLE)
		return after_exec();
	CHECK(!pipe2(pipes, O_NONBLOCK) && !pipe(back[0]) && !pipe(back[1]) && !mkfifo(at(D, "awaited"), 0600));
	CHECK((fifo = open(at(D, "awaited"), O_RDWR | O_NONBLOCK)) >= 0);
	inherited_sets();
	half_sets();
	polls();
	crowd();
	executed();
	killed();
	/* nobody waited for somebody to look around */
	CHECK(longest < 0.09 || getenv("SLOW"));
	return 0;
}
