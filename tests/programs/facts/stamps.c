/* SPDX-License-Identifier: GPL-2.0-only */
/* A packet arrives after it was sent, and before it was read (SO_TIMESTAMPNS, socket(7)). */
#include "fact.h"
#include <netinet/in.h>
#include <sys/socket.h>

static int64_t real_ns(void)
{
	struct timespec now;

	CHECK(!clock_gettime(CLOCK_REALTIME, &now));
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int64_t stamp_of_next(int socket)
{
	char byte, control[256];
	struct iovec room = { &byte, 1 };
	struct msghdr message = { .msg_iov = &room, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

	CHECK(recvmsg(socket, &message, 0) == 1);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		struct timespec t;
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		return t.tv_sec * 1000000000LL + t.tv_nsec;
	}
	return 0;
}

static int check(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(address);
	int on = 1, to = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0);

	CHECK(to >= 0 && from >= 0 && !bind(to, (struct sockaddr *)&address, len));
	CHECK(!getsockname(to, (struct sockaddr *)&address, &len));
	CHECK(!setsockopt(to, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)));
	for (int i = 0; i < 200; i++) {
		int64_t before = real_ns();
		CHECK(sendto(from, "x", 1, 0, (struct sockaddr *)&address, len) == 1);
		int64_t stamp = stamp_of_next(to);
		CHECK(stamp >= before && stamp <= real_ns());
		sleep_ms(i % 5);
	}
	return 0;
}
