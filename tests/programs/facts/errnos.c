/* SPDX-License-Identifier: GPL-2.0-only */
/* Prints what each call by descriptor says to descriptors of each kind and to arguments that are wrong: the same natively
 * and served. A letter stands for the values that an argument takes. */
#include "fact.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define ROOM 65536
#define BAD ((long)8)

static char buffer[ROOM] __attribute__((aligned(4096)));
static struct iovec vectors[2] = { { buffer, 8 }, { (void *)8, 8 } };
static long long offset;
static struct epoll_event event = { .events = EPOLLIN };
static struct itimerspec times;
static sigset_t mask;
static int host_file, host_pipe[2];

enum { FILE_RW, FILE_RO, FILE_WO, FILE_APPEND, DIRECTORY, FIFO, PATH, SET, SOCKETLESS = SET, CLOSED, MINUS, HUGE_NUMBER, KINDS };
static const char *const kinds[KINDS] = { "file", "read-only", "write-only", "append", "directory", "fifo", "path", "set", "closed", "-1", "huge" };

static int open_kind(int kind)
{
	int fd, fifo;

	switch (kind) {
	case FILE_RW: return open(at(D, "errno.txt"), O_RDWR);
	case FILE_RO: return open(at(D, "errno.txt"), O_RDONLY);
	case FILE_WO: return open(at(D, "errno.txt"), O_WRONLY);
	case FILE_APPEND: return open(at(D, "errno.txt"), O_RDWR | O_APPEND);
	case DIRECTORY: return open(D, O_RDONLY | O_DIRECTORY);
	case FIFO: return open(at(D, "fifo"), O_RDWR | O_NONBLOCK);
	case PATH: return open(at(D, "errno.txt"), O_PATH);
	case SET:
		fd = epoll_create1(0);
		fifo = open(at(D, "fifo"), O_RDWR | O_NONBLOCK);
		CHECK(!epoll_ctl(fd, EPOLL_CTL_ADD, fifo, &event) && !close(fifo));
		return fd;
	case CLOSED: return 777;
	case MINUS: return -1;
	default: return 0x7ffffff0;
	}
}

struct call { long number; const char *name, *arguments; };
#define CALL(name, arguments) { SYS_##name, #name, arguments }
/* f: the descriptor. h: a file of the host. H, w: a pipe of the host. p: NULL, a bad address, the buffer. v: a vector.
 * o: an address of an offset, or NULL. n, a, i: sizes and numbers. l: offsets. u: flags. e: an event. t: times. m: a mask. k: no process
 * group. 0-9: themselves. */
static const struct call calls[] = {
	CALL(read, "fpn"), CALL(pread64, "fpnl"), CALL(readv, "fvi"), CALL(preadv, "fvil0"), CALL(preadv2, "fvil0u"),
	CALL(write, "fpa"), CALL(pwrite64, "fpal"), CALL(writev, "fvi"), CALL(pwritev, "fvil0"), CALL(pwritev2, "fvil0u"),
	CALL(sendfile, "fhoi"), CALL(sendfile, "hfoi"), CALL(sendfile, "ffoi"), CALL(sendfile, "fxo8"), CALL(sendfile, "xfo8"),
	CALL(copy_file_range, "fohoiu"), CALL(copy_file_range, "hofoiu"), CALL(copy_file_range, "foxoi0"),
	CALL(splice, "fohoiu"), CALL(splice, "fow0iu"), CALL(splice, "H0foiu"), CALL(splice, "foxoi0"),
	CALL(tee, "fhiu"), CALL(tee, "fwiu"), CALL(tee, "Hfiu"), CALL(tee, "fxi0"),
	CALL(lseek, "fli"), CALL(fstat, "fp"), CALL(fstatfs, "fp"), CALL(fsync, "f"), CALL(fdatasync, "f"), CALL(syncfs, "f"),
	CALL(sync_file_range, "fliu"), CALL(ftruncate, "fl"), CALL(fallocate, "f0l8"), CALL(fadvise64, "flii"), CALL(readahead, "fli"),
	CALL(flock, "fs"), CALL(fchmod, "fr"), CALL(fchown, "fyy"), CALL(getdents64, "fpi"), CALL(getdents, "fpi"),
	CALL(fgetxattr, "fppi"), CALL(fsetxattr, "fppiu"), CALL(flistxattr, "fpi"), CALL(fremovexattr, "fp"),
	CALL(fcntl, "fc0"), CALL(fcntl, "fcy"), CALL(fcntl, "f80"), CALL(fcntl, "f8k"), CALL(fcntl, "fcp"), CALL(ioctl, "f00"), CALL(ioctl, "fjp"), CALL(dup, "f"), CALL(dup3, "fxu"), CALL(dup3, "ffu"), CALL(dup2, "ff"),
	CALL(bind, "fpi"), CALL(listen, "f1"), CALL(accept, "fpp"), CALL(accept4, "fpp0"), CALL(connect, "fpi"), CALL(shutdown, "fi"),
	CALL(getsockname, "fpp"), CALL(getpeername, "fpp"), CALL(getsockopt, "f11pp"), CALL(setsockopt, "f11pa"),
	CALL(sendto, "fpi000"), CALL(sendmsg, "fp0"), CALL(sendmmsg, "fpi0"), CALL(recvfrom, "fpi000"), CALL(recvmsg, "fp0"), CALL(recvmmsg, "fpi00"),
	CALL(epoll_ctl, "fihe"), CALL(epoll_ctl, "fiHe"), CALL(epoll_ctl, "fixe"), CALL(epoll_ctl, "fife"), CALL(epoll_ctl, "hife"), CALL(epoll_ctl, "Hife"), CALL(epoll_ctl, "xife"),
	CALL(epoll_wait, "fpi0"), CALL(epoll_pwait, "fpi0m8"), CALL(epoll_pwait, "fpi0mi"), CALL(epoll_pwait2, "fpitm8"),
	CALL(timerfd_settime, "f0t0"), CALL(timerfd_gettime, "fp"), CALL(signalfd4, "fm8u"), CALL(signalfd4, "fmi0"), CALL(signalfd, "fm8"),
	CALL(inotify_rm_watch, "f1"), CALL(io_uring_enter, "f11000"), CALL(io_uring_register, "f0p1"),
	CALL(vmsplice, "fv10"), CALL(fchdir, "f"),
	CALL(mmap, "08130l"), CALL(mmap, "0813fl"), CALL(mmap, "0i12fl"), CALL(close_range, "94u"),
	CALL(pidfd_send_signal, "f000"), CALL(pidfd_getfd, "f00"), CALL(setns, "f0"), CALL(mq_timedsend, "fp100"), CALL(mq_timedreceive, "fp100"), CALL(mq_notify, "fp"), CALL(mq_getsetattr, "fpp"),
	CALL(landlock_add_rule, "f1p0"), CALL(landlock_restrict_self, "f0"), CALL(process_madvise, "fv100"), CALL(process_mrelease, "f0"),
	CALL(poll, "piz"), CALL(ppoll, "pitm8"), CALL(ppoll, "pitmi"), CALL(select, "ipppt"), CALL(pselect6, "ipppt0"), CALL(close, "f"),
};

/* The values of a letter: the at-th, or 0 when there are no more. */
static int value(char letter, int at, int fd, long *to)
{
	static const long sizes[] = { 0, 8, 1L << 40 }, counts[] = { 0, 1, 8 }, small[] = { 0, 1, 2, 3, 8, -1 }, offsets[] = { 0, 8, -1, LONG_MIN },
		flags[] = { 0, 1, 1 << 20, -1 }, locks[] = { LOCK_SH | LOCK_NB, LOCK_EX | LOCK_NB, LOCK_UN, 0, 77 },
		commands[] = { F_GETFD, F_GETFL, F_GETLK, F_SETLK, F_OFD_GETLK, F_OFD_SETLK, F_GETOWN, F_GETOWN_EX, F_GETSIG, F_GETPIPE_SZ, F_GET_SEALS, F_GETLEASE, F_GET_RW_HINT, F_SETSIG, F_SETOWN_EX, 999, -1 },
		requests[] = { 0x541b, 0x6601, 0x5401, 0x1234, 0x5450 };
#define OF(list) (at < (int)(sizeof(list) / sizeof(*list)) ? (*to = (list)[at], 1) : 0)
#define ONE(it) (at ? 0 : (*to = (long)(it), 1))
	const long pointers[] = { 0, BAD, (long)buffer }, vector[] = { 0, BAD, (long)vectors }, positions[] = { 0, BAD, (long)&offset },
		events[] = { BAD, (long)&event }, time[] = { BAD, (long)&times }, masks[] = { 0, BAD, (long)&mask };

	switch (letter) {
	case 'f': return ONE(fd);
	case 'h': return ONE(host_file);
	case 'H': return ONE(host_pipe[0]);
	case 'w': return ONE(host_pipe[1]);
	case 'x': return ONE(-1);
	case 'y': return ONE(-1);
	/* A group that is on no machine: of group 1 the host says that there is one (F_SETOWN, 8), and we that there is none. */
	case 'k': return ONE(-(1L << 30));
	case 'a': return OF(counts);
	case 'z': return ONE(0);
	case 'r': return ONE(0700);
	case 'p': return OF(pointers);
	case 'v': return OF(vector);
	case 'o': return OF(positions);
	case 'e': return OF(events);
	case 't': return OF(time);
	case 'm': return OF(masks);
	case 'n': return OF(sizes);
	case 'i': return OF(small);
	case 'l': return OF(offsets);
	case 'u': return OF(flags);
	case 's': return OF(locks);
	case 'c': return OF(commands);
	case 'j': return OF(requests);
	default: return ONE(letter - '0');
	}
}

static void settle(void)
{
	CHECK(!truncate(at(D, "errno.txt"), 0) && !truncate(at(D, "errno.txt"), 100));
	CHECK(lseek(host_file, 0, SEEK_SET) == 0);
	offset = 0;
	memset(&event, 0, sizeof(event));
	memset(&times, 0, sizeof(times));
	memset(buffer, 0, sizeof(buffer));
}

/* Pipes and files of two kernels do not go together, which the limits say. */
static int is_a_limit(const struct call *call, long result, int error)
{
	if (call->number == SYS_mmap)
		return result != -1 || error == ENODEV;
	if (call->number == SYS_vmsplice)
		return result != -1 || error != EBADF;
	if (call->number == SYS_epoll_ctl)
		return result != -1 || error == EPERM || error == ENOENT;
	return (strstr("splice tee copy_file_range", call->name) && strpbrk(call->arguments, "hHw")
		&& (result >= 0 || error == EINVAL || error == EAGAIN || error == EXDEV));
}

/* What kernels of different years say to the same mistake: which of two mistakes comes first. */
static int is_of_its_time(const struct call *call, int kind, long result, int error)
{
	return (strchr(call->arguments, 'v') && result < 0 && (error == EBADF || error == EFAULT || error == EINVAL))
		|| (kind == PATH && (strstr(call->name, "xattr") || strstr(call->name, "epoll_")))
		|| (strstr("timerfd_settime signalfd signalfd4", call->name) && (error == EFAULT || error == EINVAL || (kind == PATH && error == EBADF)))
		|| (kind == FIFO && call->number == SYS_vmsplice)
		|| (kind == SET && strstr("sendfile fchmod fchown ioctl", call->name))
		|| (!strcmp(call->arguments, "ffoi") && strstr(call->name, "sendfile"));
}

static void print(const struct call *call, int kind, const long *arguments, long result, int error)
{
	printf("%s(%s", call->name, kinds[kind]);
	for (size_t i = 0; i < strlen(call->arguments); i++) {
		char letter = call->arguments[i];
		long it = arguments[i];
		if (strchr("hHwxyf", letter))
			printf(" %c", letter);
		else if (it == (long)buffer || it == (long)vectors || it == (long)&offset || it == (long)&event || it == (long)&times || it == (long)&mask)
			printf(" &");
		else
			printf(" %ld", it);
	}
	if (is_of_its_time(call, kind, result, error))
		printf(") of its time\n");
	else if (is_a_limit(call, result, error))
		printf(") limit\n");
	else
		printf(") %s\n", result < 0 ? strerrorname_np(error) : "done");
}

static void each(const struct call *call, int kind, size_t depth, long *arguments)
{
	if (depth < strlen(call->arguments)) {
		for (int i = 0; value(call->arguments[depth], i, 0, &arguments[depth]); i++)
			each(call, kind, depth + 1, arguments);
		return;
	}
	settle();
	int fd = open_kind(kind);
	for (size_t i = 0; i < depth; i++)
		if (call->arguments[i] == 'f')
			arguments[i] = fd;
	errno = 0;
	long result = syscall(call->number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
	int error = errno;
	print(call, kind, arguments, result, error);
	if (result > 2 && (!strncmp(call->name, "dup", 3) || !strncmp(call->name, "accept", 6) || !strncmp(call->name, "signalfd", 8)))
		syscall(SYS_close, result);
	if (!strcmp(call->name, "fchdir"))
		CHECK(!chdir(H));
	if (kind < CLOSED)
		syscall(SYS_close, fd);
}

static int check(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN);
	host_file = open(at(H, "errno.txt"), O_CREAT | O_RDWR, 0600);
	CHECK(host_file >= 0 && !ftruncate(host_file, 100) && !pipe2(host_pipe, O_NONBLOCK));
	CHECK(close(open(at(D, "errno.txt"), O_CREAT | O_RDWR, 0600)) == 0);
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		for (int kind = 0; kind < KINDS; kind++) {
			long arguments[6] = { 0 };
			each(&calls[i], kind, 0, arguments);
			if (!strchr(calls[i].arguments, 'f'))
				break;
		}
	return 0;
}
