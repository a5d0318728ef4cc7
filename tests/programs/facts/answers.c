/* SPDX-License-Identifier: GPL-2.0-only */
/* What calls say in rare places: flags of signal actions, openat2 over /proc, a removed directory, no descriptors left, a copy that a limit cuts. */
#include "fact.h"
#include <linux/openat2.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

struct kernel_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

static volatile int handled;

static void handle(int sig)
{
	handled = sig;
}

static void actions(void)
{
	struct sigaction once = { .sa_handler = handle, .sa_flags = SA_RESETHAND };
	struct kernel_action got, unknown = { .handler = SIG_IGN, .flags = 0x400 | 0x1000 | SA_RESTART };
	struct utsname host;
	int major, minor;

	sigaddset(&once.sa_mask, SIGUSR2);
	CHECK(!sigaction(SIGUSR1, &once, NULL) && !raise(SIGUSR1) && handled == SIGUSR1);
	CHECK(!syscall(SYS_rt_sigaction, SIGUSR1, NULL, &got, 8));
	CHECK(got.handler == SIG_DFL && (got.flags & SA_RESETHAND) && got.mask == 1UL << (SIGUSR2 - 1));
	CHECK(!uname(&host) && sscanf(host.release, "%d.%d", &major, &minor) == 2);
	CHECK(!syscall(SYS_rt_sigaction, SIGUSR2, &unknown, NULL, 8));
	CHECK(!syscall(SYS_rt_sigaction, SIGUSR2, NULL, &got, 8) && got.handler == SIG_IGN);
	if (major > 5 || (major == 5 && minor >= 11))
		CHECK(got.flags == SA_RESTART);
}

static void over_proc(void)
{
	char path[64];
	int dir = open(D, O_RDONLY | O_DIRECTORY);

	CHECK(dir >= 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d/hello.txt", dir);
	for (int i = 0; i < 2; i++) {
		struct open_how how = { .resolve = RESOLVE_NO_XDEV | (i ? RESOLVE_NO_SYMLINKS : RESOLVE_NO_MAGICLINKS) };
		FAILS(syscall(SYS_openat2, dir, path, &how, sizeof how), EXDEV);
		how.resolve &= ~RESOLVE_NO_XDEV;
		FAILS(syscall(SYS_openat2, dir, path, &how, sizeof how), ELOOP);
	}
	close(dir);
}

static void removed_directory(void)
{
	char text[PATH_MAX], expected[PATH_MAX + 16];

	CHECK(!mkdir(at(D, "gone"), 0700) && !chdir(at(D, "gone")) && !rmdir(at(D, "gone")));
	ssize_t n = readlink("/proc/self/cwd", text, sizeof text - 1);
	CHECK(n > 0);
	text[n] = 0;
	snprintf(expected, sizeof expected, "%s (deleted)", at(D, "gone"));
	CHECK(!strcmp(text, expected) && readlink("/proc/self/cwd", text, 4) == 4);
	FAILS((long)getcwd(text, sizeof text) ? 0 : -1, ENOENT);
	CHECK(!chdir(D));
}

static void cut_copy(void)
{
	struct rlimit before, limit;
	char bytes[3000] = { 0 };
	int from = open(at(D, "from"), O_CREAT | O_RDWR, 0600), to = open(at(D, "to"), O_CREAT | O_RDWR, 0600);
	off_t offset = 0;

	CHECK(from >= 0 && to >= 0 && write(from, bytes, sizeof bytes) == sizeof bytes);
	CHECK(!getrlimit(RLIMIT_FSIZE, &before) && signal(SIGXFSZ, handle) != SIG_ERR);
	limit = (struct rlimit){ 1000, before.rlim_max };
	CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
	handled = 0;
	CHECK(sendfile(to, from, &offset, sizeof bytes) == 1000 && handled == SIGXFSZ);
	handled = 0;
	CHECK(!ftruncate(to, 0) && !lseek(to, 0, SEEK_SET) && lseek(from, 2000, SEEK_SET) == 2000);
	CHECK(sendfile(to, from, NULL, sizeof bytes) == 1000 && !handled);
	CHECK(!setrlimit(RLIMIT_FSIZE, &before) && !close(from) && !close(to) && !unlink(at(D, "from")) && !unlink(at(D, "to")));
}

static void no_descriptors(void)
{
	struct rlimit none = { 0, 0 };

	CHECK(!setrlimit(RLIMIT_NOFILE, &none));
	FAILS(open(at(D, "hello.txt"), O_RDONLY), EMFILE);
}

static int check(void)
{
	actions();
	over_proc();
	removed_directory();
	cut_copy();
	no_descriptors();
	return 0;
}
