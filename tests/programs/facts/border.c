/* SPDX-License-Identifier: GPL-2.0-only */
/* What is special where the two kernels meet. */
#include "fact.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int check(void)
{
	char byte;
	loff_t from = 0;
	int pipes[2], mine = open(at(D, "hello.txt"), O_RDWR), theirs = open(at(H, "host.txt"), O_RDWR);

	CHECK(mine >= 0 && theirs >= 0 && !pipe(pipes));
	FAILS(copy_file_range(mine, &from, theirs, NULL, 5, 0), EXDEV);
	FAILS(copy_file_range(theirs, NULL, mine, &from, 5, 0), EXDEV);
	FAILS(link(at(D, "hello.txt"), at(H, "x")), EXDEV);
	FAILS(rename(at(H, "host.txt"), at(D, "x")), EXDEV);

	struct pollfd both[2] = { { mine, POLLIN, 0 }, { pipes[0], POLLIN, 0 } };
	CHECK(poll(both, 1, 1000) == 1 && (both[0].revents & POLLIN));
	CHECK(poll(both + 1, 1, 0) == 0);
	CHECK(poll(both, 2, -1) == 1 && (both[0].revents & POLLIN) && !both[1].revents);
	fd_set set;
	FD_ZERO(&set);
	FD_SET(mine, &set);
	struct timeval zero = { 0, 0 };
	CHECK(select(mine + 1, &set, NULL, NULL, &zero) == 1);
	FD_SET(mine, &set);
	FD_SET(pipes[0], &set);
	CHECK(select((mine > pipes[0] ? mine : pipes[0]) + 1, &set, NULL, NULL, NULL) == 1 && FD_ISSET(mine, &set));

	/* an epoll of host descriptors works, with the kernel running beside it */
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 42 }, got;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	CHECK(epoll >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &event) && write(pipes[1], "x", 1) == 1);
	CHECK(epoll_wait(epoll, &got, 1, 1000) == 1 && got.data.u64 == 42 && read(pipes[0], &byte, 1) == 1);
	int pipe_of_mine = open(at(D, "fifo"), O_RDWR | O_NONBLOCK);
	CHECK(pipe_of_mine >= 0);
	CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_of_mine, &event));
	/* a file is never polled, and no member of a set */
	int undecided = epoll_create1(EPOLL_CLOEXEC);
	FAILS(epoll_ctl(undecided, EPOLL_CTL_ADD, mine, &event), EPERM);
	CHECK(!epoll_ctl(undecided, EPOLL_CTL_ADD, pipes[0], &event) && !close(undecided));
	/* of a set with two halves, each half would report once */
	int outer = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event once = { .events = EPOLLIN | EPOLLONESHOT };
	FAILS(epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &once), EPERM);
	CHECK(!epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &event) && !close(outer));
	return 0;
}
