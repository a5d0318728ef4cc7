/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptors in messages (unix(7), SCM_RIGHTS) and pidfd_getfd(2): a file of the directory reaches another process as the same
 * open file, whichever way it goes. */
#include "fact.h"
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MOST 8

union control {
	char bytes[CMSG_SPACE(MOST * sizeof(int))];
	struct cmsghdr head;
};

/* A message of one byte with descriptors. */
struct letter {
	union control control;
	struct iovec part;
	struct msghdr message;
	char byte;
};

static struct msghdr *fill(struct letter *l, const int *fds, int n)
{
	memset(l, 0, sizeof(*l));
	l->part = (struct iovec){ &l->byte, 1 };
	l->message = (struct msghdr){ .msg_iov = &l->part, .msg_iovlen = 1, .msg_control = &l->control };
	l->message.msg_controllen = CMSG_SPACE(n * sizeof(int));
	if (fds) {
		l->control.head = (struct cmsghdr){ CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&l->control.head), fds, n * sizeof(int));
	}
	return &l->message;
}

static void send_all(int to, const int *fds, int n)
{
	struct letter l;

	CHECK(sendmsg(to, fill(&l, fds, n), 0) == 1);
}

static void pass(int to, int fd)
{
	send_all(to, &fd, 1);
}

/* How many came; the flags that the host set. */
static int receive_all(int from, int *fds, int room, int flags, int *said)
{
	struct letter l;
	int n = 0;

	CHECK(recvmsg(from, fill(&l, NULL, room), flags) == 1);
	struct cmsghdr *head = CMSG_FIRSTHDR(&l.message);
	if (head) {
		CHECK(head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS);
		n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(head), n * sizeof(int));
	}
	if (said)
		*said = l.message.msg_flags;
	return n;
}

static int receive(int from, int flags)
{
	int fd;

	CHECK(receive_all(from, &fd, 1, flags, NULL) == 1);
	return fd;
}

static int make(const char *name, const char *text)
{
	int fd = open(at(D, name), O_CREAT | O_TRUNC | O_RDWR, 0600);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static bool reads(int fd, const char *text)
{
	char got[64] = "";

	return read(fd, got, sizeof(got) - 1) == (ssize_t)strlen(text) && !strcmp(got, text);
}
#define says(fd, text) CHECK(reads(fd, text))

static bool is_locked(const char *name)
{
	int fd = open(at(D, name), O_RDONLY);
	bool locked = flock(fd, LOCK_EX | LOCK_NB) != 0;

	CHECK(fd >= 0 && !close(fd));
	return locked;
}

static void in_child(void (*what)(int), int socket)
{
	pid_t child = fork();

	CHECK(child >= 0);
	if (!child) {
		what(socket);
		_exit(0);
	}
	CHECK(status_of(child) == 0);
}

/* The offset and the flags are common to both. */
static void reads_on(int s)
{
	int fd = receive(s, 0);

	CHECK(!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
	char two[3] = "";
	CHECK(read(fd, two, 2) == 2 && !strcmp(two, "he"));
	CHECK(!fcntl(fd, F_SETFL, O_APPEND));
	close(fd);
}

static void one_file(int s[2])
{
	int fd = make("passed", "hello");
	struct stat a, b;

	pass(s[0], fd);
	in_child(reads_on, s[1]);
	CHECK(lseek(fd, 0, SEEK_CUR) == 2 && fcntl(fd, F_GETFL) & O_APPEND);
	pass(s[0], fd);
	int again = receive(s[1], MSG_CMSG_CLOEXEC);
	CHECK(again != fd && fcntl(again, F_GETFD) & FD_CLOEXEC);
	CHECK(!fstat(fd, &a) && !fstat(again, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	char link[64], path[PATH_MAX] = "";
	snprintf(link, sizeof(link), "/proc/self/fd/%d", again);
	CHECK(readlink(link, path, sizeof(path)) > 0 && !strcmp(path, at(D, "passed")));
	says(again, "llo");
	CHECK(lseek(fd, 0, SEEK_CUR) == 5 && !close(fd) && !close(again));
}

static void sends_and_ends(int s)
{
	int fd = make("orphan", "left behind");

	CHECK(!flock(fd, LOCK_EX));
	pass(s, fd);
}

static void sender_that_has_ended(int s[2])
{
	in_child(sends_and_ends, s[0]);
	CHECK(is_locked("orphan"));
	CHECK(!unlink(at(D, "orphan")));
	int fd = receive(s[1], 0);
	says(fd, "left behind");
	close(fd);
}

/* Files of the directory and of the host in one message, one of them twice. */
static void mixed(int s[2])
{
	int ours = make("mixed", "ours"), pipe_of[2], got[MOST], said;

	CHECK(!pipe(pipe_of) && write(pipe_of[1], "theirs", 6) == 6);
	send_all(s[0], (int[]){ pipe_of[0], ours, pipe_of[1], ours }, 4);
	CHECK(receive_all(s[1], got, MOST, 0, &said) == 4 && !(said & MSG_CTRUNC));
	says(got[0], "theirs");
	says(got[1], "ours");
	CHECK(lseek(got[3], 0, SEEK_CUR) == 4 && write(got[2], "x", 1) == 1);
	for (int i = 0; i < 4; i++)
		CHECK(!close(got[i]));
	CHECK(lseek(ours, 0, SEEK_SET) == 0);
	/* room for two of three: the third is closed */
	send_all(s[0], (int[]){ ours, pipe_of[0], ours }, 3);
	CHECK(receive_all(s[1], got, 2, 0, &said) == 2 && said & MSG_CTRUNC);
	says(got[0], "ours");
	CHECK(!close(got[0]) && !close(got[1]) && !close(ours) && !close(pipe_of[0]) && !close(pipe_of[1]));
}

static void peeked(int s[2])
{
	int fd = make("peeked", "abc");

	pass(s[0], fd);
	int first = receive(s[1], MSG_PEEK), second = receive(s[1], MSG_PEEK), last = receive(s[1], 0);
	CHECK(first != second && second != last);
	char one;
	for (int i = 0; i < 3; i++)
		CHECK(read((int[]){ first, second, last }[i], &one, 1) == 1 && one == "abc"[i]);
	CHECK(!close(first) && !close(second) && !close(last) && lseek(fd, 0, SEEK_CUR) == 3 && !close(fd));
}

/* A lock goes with the last descriptor, and a message that nobody reads has one. */
static void thrown_away(void)
{
	int s[2], fd = make("locked", "");

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !flock(fd, LOCK_EX));
	pass(s[0], fd);
	CHECK(!close(fd) && is_locked("locked"));
	sleep_ms(300);
	CHECK(is_locked("locked"));
	CHECK(!close(s[0]) && !close(s[1]));
	EVENTUALLY(!is_locked("locked"));
	/* received and closed: at once */
	fd = make("locked", "");
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, s) && !flock(fd, LOCK_EX));
	pass(s[0], fd);
	CHECK(!close(fd) && !close(receive(s[1], 0)) && !is_locked("locked"));
	/* refused by the socket: not sent at all */
	fd = make("locked", "");
	CHECK(!flock(fd, LOCK_EX) && !close(s[1]));
	struct letter l;
	FAILS(sendmsg(s[0], fill(&l, &fd, 1), MSG_NOSIGNAL), EPIPE);
	CHECK(!close(fd) && !is_locked("locked") && !close(s[0]));
}

static void many_messages(void)
{
	int s[2], fds[3], got;
	struct letter out[3], in[4];
	struct mmsghdr to[3], from[4];

	CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	for (int i = 0; i < 3; i++) {
		fds[i] = make((char[]){ 'm', '0' + i, 0 }, (char[]){ '0' + i, 0 });
		to[i] = (struct mmsghdr){ .msg_hdr = *fill(&out[i], &fds[i], 1) };
	}
	CHECK(sendmmsg(s[0], to, 3, 0) == 3 && to[2].msg_len == 1);
	for (int i = 0; i < 4; i++)
		from[i] = (struct mmsghdr){ .msg_hdr = *fill(&in[i], NULL, 1) };
	CHECK(recvmmsg(s[1], from, 4, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL) == 3);
	for (int i = 0; i < 3; i++) {
		memcpy(&got, CMSG_DATA(&in[i].control.head), sizeof(got));
		CHECK(fcntl(got, F_GETFD) & FD_CLOEXEC);
		CHECK(reads(got, (char[]){ '0' + i, 0 }));
		CHECK(!close(got) && !close(fds[i]));
	}
	CHECK(!close(s[0]) && !close(s[1]));
}

/* Many in one message, by who may have few, and no more ever. */
static void many_in_one_message(int unused)
{
	enum { N = 150, MAY = 512 };
	static union { char bytes[CMSG_SPACE(N * sizeof(int))]; struct cmsghdr head; } control;
	struct rlimit limit = { MAY, MAY };
	char byte = 0;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control };
	int s[2], fd = make("at once", "at once"), *fds = (int *)CMSG_DATA(&control.head);

	CHECK(!setrlimit(RLIMIT_NOFILE, &limit) && !socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	for (int turn = 0; turn < 3; turn++) {
		control.head = (struct cmsghdr){ CMSG_LEN(N * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		for (int n = 0; n < N; n++)
			fds[n] = fd;
		message.msg_controllen = sizeof(control);
		CHECK(sendmsg(s[0], &message, 0) == 1);
		memset(&control, 0, sizeof(control));
		message.msg_controllen = sizeof(control);
		CHECK(recvmsg(s[1], &message, 0) == 1 && control.head.cmsg_len == CMSG_LEN(N * sizeof(int)));
		for (int n = 0; n < N; n++)
			CHECK(pread(fds[n], &byte, 1, 3) == 1 && byte == 'o' && !close(fds[n]));
	}
	_exit(unused);
}

/* A descriptor that is not open, and one too many bytes. */
static void errors(int s[2])
{
	struct letter l;
	int bad = 1000, fd = make("errors", "");

	FAILS(sendmsg(s[0], fill(&l, &bad, 1), 0), EBADF);
	FAILS(sendmsg(s[0], fill(&l, (int[]){ fd, bad }, 2), 0), EBADF);
	FAILS(sendmsg(fd, fill(&l, &fd, 1), 0), ENOTSOCK);
	fill(&l, &fd, 1)->msg_controllen = sizeof(l.control) * 1000000;
	CHECK(sendmsg(s[0], &l.message, 0) == -1);
	CHECK(!close(fd));
}

/* A socket with a name, and a child that executes this program before it receives. */
static void over_exec(void)
{
	struct sockaddr_un name = { AF_UNIX, "" };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd = make("executed", "over there");

	snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", H);
	unlink(name.sun_path);
	CHECK(!bind(listener, (void *)&name, sizeof(name)) && !listen(listener, 1));
	pid_t child = fork();
	if (!child) {
		close(fd);
		int peer = socket(AF_UNIX, SOCK_STREAM, 0);
		CHECK(!connect(peer, (void *)&name, sizeof(name)));
		CHECK(dup2(peer, 9) == 9);
		sleep_ms(50);
		execl(SELF, SELF, D, H, "receiver", NULL);
		_exit(1);
	}
	int peer = accept(listener, NULL, NULL);
	CHECK(peer >= 0);
	pass(peer, fd);
	CHECK(!close(fd) && !close(peer) && status_of(child) == 0 && !close(listener) && !unlink(name.sun_path));
}

static void waits_for_both(int s)
{
	int set = receive(s, 0);
	struct epoll_event events[4];

	CHECK(epoll_wait(set, events, 4, 5000) == 2);
	CHECK(events[0].data.u32 + events[1].data.u32 == 3);
}

/* An epoll set with a FIFO of the directory and a pipe of the host. */
static void epoll_set(int s[2])
{
	int set = epoll_create1(0), pipe_of[2];
	struct epoll_event a = { EPOLLIN, { .u32 = 1 } }, b = { EPOLLIN, { .u32 = 2 } };

	CHECK(!mkfifo(at(D, "passed.fifo"), 0600) && !pipe(pipe_of));
	int fifo = open(at(D, "passed.fifo"), O_RDWR | O_NONBLOCK);
	CHECK(!epoll_ctl(set, EPOLL_CTL_ADD, fifo, &a) && !epoll_ctl(set, EPOLL_CTL_ADD, pipe_of[0], &b));
	CHECK(write(fifo, "x", 1) == 1 && write(pipe_of[1], "x", 1) == 1);
	pass(s[0], set);
	in_child(waits_for_both, s[1]);
	pass(s[0], set);
	CHECK(!close(set));
	waits_for_both(s[1]);
	CHECK(!close(fifo) && !close(pipe_of[0]) && !close(pipe_of[1]));
}

static void reads_both(int s)
{
	int set = receive(s, 0), seen = 0;
	char events[4096];

	for (int left = 2; left > 0; ) {
		struct pollfd one = { set, POLLIN, 0 };
		CHECK(poll(&one, 1, 5000) == 1);
		ssize_t n = read(set, events, sizeof(events));
		CHECK(n > 0);
		for (char *at = events; at < events + n; left--) {
			struct inotify_event *event = (void *)at;
			seen |= 1 << event->wd;
			at += sizeof(*event) + event->len;
		}
	}
	CHECK(seen == (1 << 1 | 1 << 2));
}

static void inotify_set(int s[2])
{
	int set = inotify_init1(IN_NONBLOCK);

	CHECK(inotify_add_watch(set, D, IN_CREATE) == 1 && inotify_add_watch(set, H, IN_CREATE) == 2);
	CHECK(!mkdir(at(D, "watched"), 0700) && !mkdir(at(H, "watched"), 0700));
	pass(s[0], set);
	CHECK(!close(set));
	in_child(reads_both, s[1]);
	CHECK(!rmdir(at(D, "watched")) && !rmdir(at(H, "watched")));
}

/* pidfd_getfd(2) by a parent of what its child has. */
static void taken_from_a_process(int s[2])
{
	char byte;
	pid_t child = fork();

	if (!child) {
		int fd = make("taken", "from a child");
		CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL) && dup2(fd, 77) == 77 && write(s[1], "x", 1) == 1);
		pause();
	}
	CHECK(read(s[0], &byte, 1) == 1);
	int pidfd = pidfd_open(child, 0), fd = pidfd_getfd(pidfd, 77, 0);
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC);
	says(fd, "from a child");
	FAILS(pidfd_getfd(pidfd, 78, 0), EBADF);
	FAILS(pidfd_getfd(fd, 77, 0), EBADF);
	CHECK(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child && !close(pidfd) && !close(fd));
}

/* Numbers are given out in order, whatever travels. */
static void numbers(int s[2])
{
	int fd = make("numbers", ""), lowest = dup(fd);

	CHECK(!close(lowest));
	for (int i = 0; i < 300; i++) {
		pass(s[0], fd);
		CHECK(receive(s[1], 0) == lowest && !close(lowest));
	}
	CHECK(!close(fd));
}

/* More messages than files may be under way, each of them thrown away by who reads on. */
static void thrown_away_for_long(int s[2])
{
	int fd = make("often", "often");
	char byte;

	for (int n = 0; n < 2500; n++) {
		pass(s[1], fd);
		CHECK(read(s[0], &byte, 1) == 1);
	}
	CHECK(!close(fd));
}

static int check(void)
{
	int s[2];

	if (ROLE && !strcmp(ROLE, "receiver")) {
		says(receive(9, 0), "over there");
		_exit(0);
	}
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	one_file(s);
	sender_that_has_ended(s);
	mixed(s);
	peeked(s);
	thrown_away();
	thrown_away_for_long(s);
	many_messages();
	in_child(many_in_one_message, 0);
	errors(s);
	over_exec();
	epoll_set(s);
	inotify_set(s);
	taken_from_a_process(s);
	numbers(s);
	return 0;
}
