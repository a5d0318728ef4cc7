/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of AF_UNIX sockets in the directory: streams, datagrams, what the names show, permissions, rename and unlink. */
#include "fact.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static socklen_t name(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	CHECK(strlen(path) < sizeof address->sun_path);
	strcpy(address->sun_path, path);
	return offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}

static int bound(int type, const char *path)
{
	struct sockaddr_un address;
	socklen_t len = name(&address, path);
	int fd = socket(AF_UNIX, type, 0);

	CHECK(fd >= 0);
	if (!bind(fd, (void *)&address, len))
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

static int connected(int type, const char *path)
{
	struct sockaddr_un address;
	socklen_t len = name(&address, path);
	int fd = socket(AF_UNIX, type, 0);

	CHECK(fd >= 0);
	if (!connect(fd, (void *)&address, len))
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

static int is_shown = 1;

static void is_called(int (*tell)(int, struct sockaddr *, socklen_t *), int fd, const char *path)
{
	struct sockaddr_un got, want;
	socklen_t len = sizeof got, expected = name(&want, path);

	memset(&got, 1, sizeof got);
	CHECK(!tell(fd, (void *)&got, &len));
	if (!is_shown)
		return;
	CHECK(len == expected && got.sun_family == AF_UNIX && !strcmp(got.sun_path, path));
	/* Cut to the room there is. */
	if (expected < 8)
		return;
	memset(&got, 1, sizeof got);
	len = 5;
	CHECK(!tell(fd, (void *)&got, &len) && len == expected);
	CHECK(!memcmp(&got, &want, 5) && got.sun_path[3] == 1);
}

static int accepted(int server, struct sockaddr *address, socklen_t *len)
{
	return accept(server, address, len);
}

static void stream(const char *path, const char *other)
{
	char got[8];
	struct stat st;
	int server = bound(SOCK_STREAM, path);

	CHECK(server >= 0 && !listen(server, 4));
	CHECK(!stat(path, &st) && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0755);
	FAILS(bound(SOCK_STREAM, path), EADDRINUSE);
	int client = connected(SOCK_STREAM, other);
	CHECK(client >= 0);
	int peer = accepted(server, NULL, NULL);
	CHECK(peer >= 0 && write(client, "hello", 5) == 5 && read(peer, got, sizeof got) == 5);
	is_called(getsockname, server, path);
	is_called(getsockname, peer, path);
	is_called(getpeername, client, path);
	close(client), close(peer);
	FAILS(open(other, O_RDONLY), ENXIO);
	close(server);
	FAILS(connected(SOCK_STREAM, other), ECONNREFUSED);
	FAILS(bound(SOCK_STREAM, path), EADDRINUSE);
	CHECK(!unlink(path));
	FAILS(connected(SOCK_STREAM, other), ENOENT);
}

/* Who sent: by each call that says so. */
static void senders(int sender, int receiver, const struct sockaddr_un *to, socklen_t len)
{
	struct sockaddr_un from[2], want;
	socklen_t expected = name(&want, at(D, "sender")), got_len = sizeof from[0];
	char bytes[2][8];
	struct iovec iov[2] = { { bytes[0], 8 }, { bytes[1], 8 } };
	struct mmsghdr two[2] = {
		{ .msg_hdr = { .msg_name = &from[0], .msg_namelen = sizeof from[0], .msg_iov = &iov[0], .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_name = &from[1], .msg_namelen = sizeof from[1], .msg_iov = &iov[1], .msg_iovlen = 1 } },
	};
	struct msghdr one = two[0].msg_hdr, none = { .msg_iov = iov, .msg_iovlen = 1 };

	for (int i = 0; i < 6; i++)
		CHECK(sendto(sender, "who", 3, 0, (const void *)to, len) == 3);
	CHECK(recvfrom(receiver, bytes[0], 8, 0, (void *)&from[0], &got_len) == 3);
	CHECK(got_len == expected && !strcmp(from[0].sun_path, want.sun_path));
	memset(from, 1, sizeof from);
	CHECK(recvmsg(receiver, &one, 0) == 3 && one.msg_namelen == expected && !strcmp(from[0].sun_path, want.sun_path));
	CHECK(recvmsg(receiver, &none, 0) == 3 && !none.msg_namelen);
	memset(from, 1, sizeof from);
	one.msg_namelen = 5;
	CHECK(recvmsg(receiver, &one, 0) == 3 && one.msg_namelen == expected && !memcmp(from, &want, 5) && from[0].sun_path[3] == 1);
	CHECK(recvmmsg(receiver, two, 2, 0, NULL) == 2 && two[0].msg_len == 3 && two[1].msg_len == 3);
	for (int i = 0; i < 2; i++)
		CHECK(two[i].msg_hdr.msg_namelen == expected && !strcmp(from[i].sun_path, want.sun_path));
}

static void datagrams(void)
{
	struct sockaddr_un address;
	socklen_t len;
	char got[8];
	int receiver = bound(SOCK_DGRAM, at(D, "receiver")), sender = bound(SOCK_DGRAM, at(D, "sender"));

	CHECK(receiver >= 0 && sender >= 0);
	len = name(&address, at(D, "receiver"));
	CHECK(sendto(sender, "one", 3, 0, (void *)&address, len) == 3);
	struct iovec iov = { "four", 4 };
	struct msghdr message = { .msg_name = &address, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1 };
	CHECK(sendmsg(sender, &message, 0) == 4);
	struct mmsghdr two[2] = { { .msg_hdr = message }, { .msg_hdr = message } };
	CHECK(recv(receiver, got, sizeof got, 0) == 3 && recv(receiver, got, sizeof got, 0) == 4);
	CHECK(sendmmsg(sender, two, 2, 0) == 2 && two[0].msg_len == 4 && two[1].msg_len == 4);
	CHECK(recv(receiver, got, sizeof got, 0) == 4 && recv(receiver, got, sizeof got, 0) == 4);
	senders(sender, receiver, &address, len);
	/* Where it came from is where an answer goes to. */
	CHECK(sendto(sender, "two", 3, 0, (void *)&address, len) == 3);
	len = sizeof address;
	CHECK(recvfrom(receiver, got, sizeof got, 0, (void *)&address, &len) == 3);
	CHECK(sendto(receiver, "back", 4, 0, (void *)&address, len) == 4 && recv(sender, got, sizeof got, 0) == 4);
	close(receiver);
	len = name(&address, at(D, "receiver"));
	FAILS(sendto(sender, "one", 3, 0, (void *)&address, len), ECONNREFUSED);
	close(sender);
	CHECK(!unlink(at(D, "receiver")) && !unlink(at(D, "sender")));
}

/* a path of 108 bytes fills the structure, with no NUL behind it */
static void full_structure(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char got[200], path[200];
	socklen_t len = sizeof got;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(path, sizeof path, "%s/%0*d", D, (int)(108 - strlen(D) - 1), 0);
	memcpy(address.sun_path, path, 108);
	CHECK(!bind(fd, (void *)&address, sizeof address) && !listen(fd, 1));
	CHECK(!getsockname(fd, (void *)got, &len) && len == 111 && !strcmp(got + 2, path));
	len = sizeof got;
	CHECK(!connect(other, (void *)&address, sizeof address) && !getpeername(other, (void *)got, &len));
	CHECK(len == 111 && !strcmp(got + 2, path) && !unlink(path) && !close(fd) && !close(other));
}

/* The file is removed, and another socket gets its name, and most likely its number: the first one is called what it was. */
static void removed(void)
{
	struct sockaddr_un from;
	socklen_t len = sizeof from, expected;
	char got[8];
	int server = bound(SOCK_STREAM, at(D, "first"));

	CHECK(server >= 0 && !listen(server, 4));
	int client = connected(SOCK_STREAM, at(D, "first")), peer = accept(server, NULL, NULL);
	CHECK(client >= 0 && peer >= 0 && !unlink(at(D, "first")));
	int second = bound(SOCK_STREAM, at(D, "second"));
	CHECK(second >= 0 && !listen(second, 4));
	is_called(getsockname, server, at(D, "first"));
	is_called(getsockname, peer, at(D, "first"));
	is_called(getpeername, client, at(D, "first"));
	is_called(getsockname, second, at(D, "second"));
	FAILS(connected(SOCK_STREAM, at(D, "first")), ENOENT);
	int other = connected(SOCK_STREAM, at(D, "second"));
	CHECK(other >= 0);
	is_called(getpeername, other, at(D, "second"));
	CHECK(!unlink(at(D, "second")));
	close(server), close(client), close(peer), close(second), close(other);

	int to = bound(SOCK_DGRAM, at(D, "first")), by = bound(SOCK_DGRAM, at(D, "second"));
	struct sockaddr_un address;
	expected = name(&address, at(D, "first"));
	CHECK(to >= 0 && by >= 0 && !connect(by, (void *)&address, expected));
	CHECK(!unlink(at(D, "first")) && !unlink(at(D, "second")) && send(by, "x", 1, 0) == 1);
	expected = name(&address, at(D, "second"));
	CHECK(recvfrom(to, got, sizeof got, 0, (void *)&from, &len) == 1);
	CHECK(len == expected && !strcmp(from.sun_path, address.sun_path));
	close(to), close(by);
}

static int check(void)
{
	struct stat st;
	char path[PATH_MAX];

	umask(022);
	CHECK(!mkdir(at(D, "u"), 0755) && !symlink(D, at(H, "way")));
	stream(at(D, "s"), at(D, "s"));
	stream(at(D, "u/s"), at(H, "way/u/s"));
	stream(at(H, "way/s"), at(D, "s"));
	stream(at(H, "s"), at(H, "s"));
	datagrams();
	removed();

	/* By relative names, from inside and from outside. */
	CHECK(!chdir(D));
	stream("s", at(D, "s"));
	stream("u/../s", "./u/../s");
	/* This one is shown with its absolute name. */
	is_shown = 0;
	stream("../h/s", at(H, "s"));
	is_shown = 1;
	CHECK(!chdir(H));
	stream("way/s", at(D, "s"));
	stream("s", at(H, "s"));
	stream("../h/s", "s");

	/* The file is renamed, replaced, and has rights of its own. */
	int server = bound(SOCK_STREAM, at(D, "s"));
	CHECK(server >= 0 && !listen(server, 4) && !rename(at(D, "s"), at(D, "t")));
	FAILS(connected(SOCK_STREAM, at(D, "s")), ENOENT);
	int client = connected(SOCK_STREAM, at(D, "t"));
	CHECK(client >= 0);
	is_called(getpeername, client, at(D, "s"));
	CHECK(!chmod(at(D, "t"), 0) && !stat(at(D, "t"), &st) && (st.st_mode & 0777) == 0);
	if (geteuid())
		FAILS(connected(SOCK_STREAM, at(D, "t")), EACCES);
	int second = bound(SOCK_STREAM, at(D, "s"));
	CHECK(second >= 0 && !listen(second, 1) && !rename(at(D, "s"), at(D, "t")) && connected(SOCK_STREAM, at(D, "t")) >= 0);
	CHECK(!unlink(at(D, "t")));

	full_structure();

	/* What is wrong. */
	FAILS(connected(SOCK_STREAM, at(D, "hello.txt")), ECONNREFUSED);
	FAILS(connected(SOCK_STREAM, at(D, "nothing")), ENOENT);
	FAILS(connected(SOCK_STREAM, at(D, "hello.txt/s")), ENOTDIR);
	FAILS(bound(SOCK_STREAM, at(D, "hello.txt")), EADDRINUSE);
	FAILS(bound(SOCK_STREAM, at(D, "nothing/s")), ENOENT);
	FAILS(bound(SOCK_STREAM, D), EADDRINUSE);
	FAILS(connected(SOCK_DGRAM, D), ECONNREFUSED);
	server = bound(SOCK_STREAM, at(D, "s"));
	CHECK(server >= 0 && !listen(server, 1));
	FAILS(connected(SOCK_DGRAM, at(D, "s")), EPROTOTYPE);
	struct sockaddr_un address;
	socklen_t len = name(&address, at(D, "v"));
	FAILS(bind(server, (void *)&address, len), EINVAL);
	FAILS(stat(at(D, "v"), &st), ENOENT);
	FAILS(bind(-1, (void *)&address, len), EBADF);
	FAILS(bind(server, (void *)&address, 300), EINVAL);
	int inet = socket(AF_INET, SOCK_STREAM, 0);
	if (inet >= 0)
		CHECK(bind(inet, (void *)&address, len) < 0 && stat(at(D, "v"), &st) < 0);
	snprintf(path, sizeof path, "%s", at(D, "s"));
	CHECK(!unlink(path));
	return 0;
}
