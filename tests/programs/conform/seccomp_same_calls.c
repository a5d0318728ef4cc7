/* SPDX-License-Identifier: GPL-2.0-only */
/* A filter that allows one call and the end, and kills for everything else: the host gets the call that the program made, and not a
 * newer form of it. One child for each call; a mount was used before. */
#include "conform.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>

#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define P(text) ((long)(text))
#define CWD ((long)AT_FDCWD)

/* An answer of the host's that is no success, and is right too: natively it is the same. */
#define ANY 1

static char room[4096];
static long times[4] = { 1, 2, 3, 4 };
static struct pollfd asked = { .fd = 1, .events = POLLOUT };
static unsigned long mask;
static struct timeval now;
static struct timespec soon;

static const struct {
	const char *name;
	long nr, args[6];
	int any;
} CALLS[] = {
#define CALL(name, ...) { #name, SYS_##name, { __VA_ARGS__ }, 0 }
#define TRY(name, ...) { #name, SYS_##name, { __VA_ARGS__ }, ANY }
	CALL(open, P("f"), O_RDONLY),
	CALL(open, P("new"), O_CREAT | O_WRONLY, 0600),
	CALL(open, P("absent/new"), O_CREAT | O_WRONLY, 0600),
	CALL(openat, CWD, P("f"), O_RDONLY),
	CALL(creat, P("new"), 0600),
	CALL(stat, P("f"), P(room)),
	CALL(stat, P("absent"), P(room)),
	CALL(stat, P("/etc/passwd"), P(room)),
	CALL(lstat, P("link"), P(room)),
	CALL(newfstatat, CWD, P("f"), P(room), 0),
	CALL(statx, CWD, P("f"), 0, 0xfff, P(room)),
	CALL(access, P("f"), R_OK),
	CALL(faccessat, CWD, P("f"), R_OK),
	TRY(faccessat2, CWD, P("f"), R_OK, 0),
	CALL(mkdir, P("new"), 0700),
	CALL(mkdirat, CWD, P("new"), 0700),
	CALL(rmdir, P("dir")),
	CALL(unlink, P("f")),
	CALL(unlinkat, CWD, P("f"), 0),
	CALL(rename, P("f"), P("new")),
	CALL(renameat, CWD, P("f"), CWD, P("new")),
	CALL(renameat2, CWD, P("f"), CWD, P("new"), 0),
	CALL(link, P("f"), P("new")),
	CALL(linkat, CWD, P("f"), CWD, P("new"), 0),
	CALL(symlink, P("f"), P("new")),
	CALL(symlinkat, P("f"), CWD, P("new")),
	CALL(readlink, P("link"), P(room), 99),
	CALL(readlinkat, CWD, P("link"), P(room), 99),
	CALL(chmod, P("f"), 0640),
	CALL(fchmodat, CWD, P("f"), 0640),
	CALL(chown, P("f"), -1, -1),
	CALL(lchown, P("link"), -1, -1),
	CALL(fchownat, CWD, P("f"), -1, -1, 0),
	CALL(mknod, P("new"), S_IFIFO | 0600, 0),
	CALL(mknodat, CWD, P("new"), S_IFIFO | 0600, 0),
	CALL(utime, P("f"), P(times)),
	CALL(utime, P("f"), 0),
	CALL(utimes, P("f"), 0),
	CALL(futimesat, CWD, P("f"), 0),
	CALL(utimensat, CWD, P("f"), 0, 0),
	CALL(truncate, P("f"), 1),
	CALL(statfs, P("f"), P(room)),
	CALL(chdir, P("dir")),
	CALL(getcwd, P(room), sizeof(room)),
	TRY(getxattr, P("f"), P("user.x"), P(room), 9),
	TRY(lgetxattr, P("f"), P("user.x"), P(room), 9),
	TRY(setxattr, P("f"), P("user.x"), P("v"), 1, 0),
	TRY(listxattr, P("f"), P(room), 99),
	TRY(removexattr, P("f"), P("user.x")),
	CALL(inotify_add_watch, 11, P("f"), 2),
	CALL(pipe, P(room)),
	CALL(pipe2, P(room), O_CLOEXEC),
	CALL(dup, 1),
	CALL(dup2, 1, 9),
	CALL(dup3, 1, 9, 0),
	CALL(fcntl, 1, F_GETFD),
	CALL(epoll_create, 1),
	CALL(epoll_create1, 0),
	CALL(epoll_wait, 10, P(room), 1, 0),
	CALL(epoll_pwait, 10, P(room), 1, 0, 0, 8),
	CALL(inotify_init, 0),
	CALL(inotify_init1, 0),
	CALL(eventfd, 0),
	CALL(eventfd2, 0, 0),
	CALL(signalfd, -1, P(&mask), 8),
	CALL(signalfd4, -1, P(&mask), 8, 0),
	CALL(select, 0, 0, 0, 0, P(&now)),
	CALL(pselect6, 0, 0, 0, 0, P(&soon), 0),
	CALL(poll, P(&asked), 1, 0),
	CALL(ppoll, P(&asked), 1, P(&soon), 0, 8),
	CALL(lseek, 8, 0, SEEK_CUR),
	CALL(fstat, 8, P(room)),
	CALL(read, 8, P(room), 1),
	CALL(close, 8),
	CALL(umask, 022),
	CALL(socket, AF_UNIX, SOCK_STREAM, 0),
	CALL(mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	CALL(rt_sigprocmask, SIG_BLOCK, 0, P(room), 8),
	CALL(rt_sigaction, SIGUSR1, 0, P(room), 8),
};

static void make_files(void)
{
	char place[] = "/tmp/stowaway-same-XXXXXX";

	CHECK(mkdtemp(place) && !chdir(place));
	CHECK(!close(open("f", O_CREAT | O_RDWR, 0600)) && !mkdir("dir", 0700) && !symlink("f", "link"));
}

static void remove_files(void)
{
	char here[PATH_MAX];

	CHECK(getcwd(here, sizeof(here)));
	unlink("f"), unlink("link"), unlink("new"), rmdir("new"), rmdir("dir");
	CHECK(!chdir("/") && !rmdir(here));
}

/* Makes the call with nothing but it allowed; ends with its errno. */
static void make(size_t at)
{
	struct sock_filter rows[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_exit_group),
		ALLOW((unsigned)CALLS[at].nr),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog filter = { sizeof(rows) / sizeof(rows[0]), rows };
	const long *a = CALLS[at].args;

	CHECK(dup2(open("f", O_RDWR), 8) == 8 && dup2(epoll_create1(0), 10) == 10 && dup2(inotify_init(), 11) == 11);
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0));
	long got = raw(CALLS[at].nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	raw(SYS_exit_group, got < 0 ? -got : 0, 0, 0, 0, 0, 0);
}

static int check(void)
{
	int wrong = 0;

	SEEN(raw);
	for (size_t at = 0; at < sizeof(CALLS) / sizeof(CALLS[0]); at++) {
		make_files();
		pid_t child = fork();
		CHECK(child >= 0);
		if (!child)
			make(at);
		int end = end_of(child), is_absent = CALLS[at].args[0] == P("absent") || CALLS[at].args[0] == P("absent/new");
		remove_files();
		if (!WIFEXITED(end) || (!CALLS[at].any && WEXITSTATUS(end) != (is_absent ? ENOENT : 0))) {
			printf("%s (row %zu): status %#x\n", CALLS[at].name, at, end);
			wrong = 1;
		}
	}
	return wrong;
}
