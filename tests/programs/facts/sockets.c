/* SPDX-License-Identifier: GPL-2.0-only */
/* Internet sockets of one process over its own loopback: streams, datagrams, both families, waits, options. */
#include "fact.h"
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>

union address { struct sockaddr any; struct sockaddr_in four; struct sockaddr_in6 six; };

static int family;
static socklen_t length;

static union address loopback(int port)
{
	union address address = { 0 };

	if (family == AF_INET) {
		address.four = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
		length = sizeof(address.four);
	} else {
		address.six = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback };
		length = sizeof(address.six);
	}
	return address;
}

static int port_of(int fd)
{
	union address address;
	socklen_t size = sizeof(address);

	CHECK(!getsockname(fd, &address.any, &size) && address.any.sa_family == family);
	return ntohs(family == AF_INET ? address.four.sin_port : address.six.sin6_port);
}

static int listener(void)
{
	union address any = loopback(0);
	int one = 1, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) && !bind(fd, &any.any, length) && !listen(fd, 10));
	return fd;
}

static void *echo(void *arg)
{
	char bytes[4096];
	ssize_t n;
	int fd = accept4(*(int *)arg, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return NULL;
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		if (send(fd, bytes, n, MSG_NOSIGNAL) != n)
			break;
	close(fd);
	return NULL;
}

static void streams(void)
{
	pthread_t thread;
	char got[4096];
	int listening = listener(), fd = socket(family, SOCK_STREAM, 0), one = 1, value = 0;
	socklen_t size = sizeof(value);
	union address to = loopback(port_of(listening));

	CHECK(!pthread_create(&thread, NULL, echo, &listening) && !connect(fd, &to.any, length));
	CHECK(!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) && !getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size) && value);
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size) && value == SOCK_STREAM && !getpeername(fd, &to.any, &length));
	for (int i = 0; i < 500; i++) {
		int n = snprintf(got, sizeof(got), "message %d", i);
		struct iovec parts[2] = { { got, 4 }, { got + 4, n - 4 } };
		struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
		CHECK((i % 3 ? write(fd, got, n) : sendmsg(fd, &message, 0)) == n);
		char back[64] = "";
		for (int have = 0; have < n;) {
			ssize_t more = i % 2 ? read(fd, back + have, n - have) : recv(fd, back + have, n - have, 0);
			CHECK(more > 0);
			have += more;
		}
		CHECK(!memcmp(got, back, n));
	}
	/* a file of the directory under test, straight into the socket */
	int file = open(at(D, "hello.txt"), O_RDONLY);
	CHECK(sendfile(fd, file, NULL, 100) == 14 && recv(fd, got, 14, MSG_WAITALL) == 14 && !memcmp(got, "Hello, world!\n", 14) && !close(file));
	CHECK(recv(fd, got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	struct timeval soon = { 0, 50000 };
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
	FAILS(recv(fd, got, 1, 0), EAGAIN);
	CHECK(!shutdown(fd, SHUT_WR) && !pthread_join(thread, NULL) && recv(fd, got, 1, 0) == 0 && !close(fd) && !close(listening));
	fd = socket(family, SOCK_STREAM, 0);
	FAILS(connect(fd, &to.any, length), ECONNREFUSED);
	FAILS(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK(!close(fd));
	FAILS(socket(family, 77, 0), EINVAL);
}

static void datagrams(void)
{
	union address from = loopback(0), peer;
	char got[64];
	socklen_t size = sizeof(peer);
	int a = socket(family, SOCK_DGRAM, 0), b = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	CHECK(!bind(a, &from.any, length) && !bind(b, &from.any, length));
	union address to = loopback(port_of(b));
	FAILS(recvfrom(b, got, 64, 0, NULL, NULL), EAGAIN);
	CHECK(sendto(a, "datagram", 8, 0, &to.any, length) == 8);
	struct pollfd wait = { b, POLLIN, 0 };
	CHECK(poll(&wait, 1, 1000) == 1 && recvfrom(b, got, 64, 0, &peer.any, &size) == 8 && !memcmp(got, "datagram", 8));
	CHECK(sendto(b, "back", 4, 0, &peer.any, size) == 4 && recv(a, got, 64, 0) == 4 && !close(a) && !close(b));
}

static void waits(void)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 0xdeadbeefcafe }, got[4];
	int listening = listener(), epoll = epoll_create1(EPOLL_CLOEXEC), fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0), value;
	union address to = loopback(port_of(listening));
	socklen_t size = sizeof(value);

	CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event) && epoll_wait(epoll, got, 4, 0) == 0);
	double start = now_s();
	CHECK(epoll_wait(epoll, got, 4, 50) == 0 && now_s() - start >= 0.045 && now_s() - start < 5);
	CHECK(connect(fd, &to.any, length) == 0 || errno == EINPROGRESS);
	CHECK(epoll_wait(epoll, got, 4, 1000) == 1 && got[0].data.u64 == 0xdeadbeefcafe && got[0].events == EPOLLIN);
	int peer = accept(listening, NULL, NULL);
	struct pollfd both[2] = { { fd, POLLIN | POLLOUT, 0 }, { peer, POLLIN, 0 } };
	CHECK(peer >= 0 && poll(both, 2, 1000) == 1 && both[0].revents == POLLOUT && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) && !value);
	CHECK(write(fd, "x", 1) == 1 && poll(both + 1, 1, 1000) == 1 && both[1].revents == POLLIN);
	fd_set set;
	FD_ZERO(&set);
	FD_SET(peer, &set);
	struct timeval second = { 1, 0 };
	CHECK(select(peer + 1, &set, NULL, NULL, &second) == 1 && FD_ISSET(peer, &set) && !close(fd));
	char byte;
	CHECK(read(peer, &byte, 1) == 1 && read(peer, &byte, 1) == 0);
	event.data.u32 = 7;
	CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &event));
	FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &event), EEXIST);
	CHECK(epoll_wait(epoll, got, 4, 1000) == 1 && got[0].data.u32 == 7 && !epoll_ctl(epoll, EPOLL_CTL_DEL, peer, NULL));
	CHECK(!close(peer) && !close(listening) && !close(epoll));
}

static void on_alarm(int number) { (void)number; }

static void interrupted(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	/* again and again: the first alarm may come before the call */
	struct itimerval soon = { { 0, 50000 }, { 0, 50000 } }, never = { { 0, 0 }, { 0, 0 } };
	int listening = listener();
	struct pollfd wait = { listening, POLLIN, 0 };

	CHECK(!sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &soon, NULL));
	FAILS(accept(listening, NULL, NULL), EINTR);
	FAILS(poll(&wait, 1, 5000), EINTR);
	int epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN }, got;
	CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event));
	FAILS(epoll_wait(epoll, &got, 1, 5000), EINTR);
	CHECK(!setitimer(ITIMER_REAL, &never, NULL) && !close(epoll) && !close(listening));
}

static volatile int came[65];

static void on_came(int number) { came[number]++; }

/* SIGIO of O_ASYNC, SIGURG without it, and the ways to say who gets them */
static void signals(void)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	int listening = listener(), fd = socket(family, SOCK_STREAM, 0), peer, on = 1, owner = 0;
	char bytes[8];

	signal(SIGIO, on_came);
	signal(SIGURG, on_came);
	CHECK(!getsockname(listening, (void *)&address, &size) && !connect(fd, (void *)&address, size));
	CHECK((peer = accept(listening, NULL, NULL)) >= 0);
	CHECK(!ioctl(peer, FIOGETOWN, &owner) && owner == 0);
	owner = getpid();
	CHECK(!ioctl(peer, FIOSETOWN, &owner) && !ioctl(peer, SIOCGPGRP, &owner) && owner == getpid() && fcntl(peer, F_GETOWN) == owner);
	owner = 0x3ffffff0;
	FAILS(ioctl(peer, SIOCSPGRP, &owner), ESRCH);
	FAILS(ioctl(peer, SIOCSPGRP, (void *)8), EFAULT);
	came[SIGIO] = came[SIGURG] = 0;
	CHECK(send(fd, "u", 1, MSG_OOB) == 1);
	for (int i = 0; i < 2000 && !came[SIGURG]; i++)
		usleep(1000);
	CHECK(came[SIGURG] == 1 && !came[SIGIO] && recv(peer, bytes, 1, MSG_OOB) == 1);
	CHECK(!ioctl(peer, FIOASYNC, &on));
	for (int round = 1; round <= 3; round++) {
		int before = came[SIGIO];
		CHECK(write(fd, "d", 1) == 1);
		for (int i = 0; i < 2000 && came[SIGIO] == before; i++)
			usleep(1000);
		CHECK(came[SIGIO] > before && read(peer, bytes, 8) == 1);
	}
	CHECK(!close(fd) && !close(peer) && !close(listening));
	signal(SIGIO, SIG_IGN);
}

static void unix_sockets(void)
{
	int pair[2];
	char got[4];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && write(pair[0], "unix", 4) == 4 && read(pair[1], got, 4) == 4 && !memcmp(got, "unix", 4));
	struct pollfd wait = { pair[0], POLLOUT, 0 };
	CHECK(poll(&wait, 1, 0) == 1 && !close(pair[0]) && !close(pair[1]));
}

static int check(void)
{
	signal(SIGPIPE, SIG_IGN);
	for (int round = 0; round < 2; round++) {
		family = round ? AF_INET6 : AF_INET;
		streams();
		datagrams();
		waits();
		interrupted();
		signals();
	}
	unix_sockets();
	return 0;
}
