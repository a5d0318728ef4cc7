/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptor numbers are those of a plain process, whichever kernel is behind a descriptor. */
#include "fact.h"

static int mine(const char *name) { return open(at(D, name), O_RDWR | O_CREAT, 0644); }
static int hosts(const char *name) { return open(at(H, name), O_RDWR | O_CREAT, 0644); }

static void lowest(void)
{
	int a = mine("a1"), b = hosts("b1"), c = mine("c1");

	CHECK(a == 3 && b == 4 && c == 5);
	CHECK(!close(a) && hosts("d1") == 3);
	CHECK(!close(4) && mine("e1") == 4);
	CHECK(!close(5) && !close(3) && mine("f1") == 3 && hosts("g1") == 5);
	CHECK(!close(3) && !close(4) && !close(5));
	FAILS(close(3), EBADF);
	FAILS(read(3, &a, 1), EBADF);
	int pipes[2];
	CHECK((a = mine("h1")) == 3 && !pipe(pipes) && pipes[0] == 4 && pipes[1] == 5 && !close(4) && !close(5) && !close(3));
}

static void dups(void)
{
	char got[8] = "";
	int a = mine("dup"), b;

	CHECK((b = dup(a)) == 4 && write(a, "ab", 2) == 2 && write(b, "cd", 2) == 2);
	CHECK(lseek(b, 0, SEEK_CUR) == 4 && lseek(a, 1, SEEK_SET) == 1 && read(b, got, 8) == 3 && !memcmp(got, "bcd", 3));
	CHECK(dup2(a, 100) == 100 && pread(100, got, 1, 0) == 1 && got[0] == 'a' && dup2(a, a) == a);
	CHECK(dup3(a, 101, O_CLOEXEC) == 101 && fcntl(101, F_GETFD) == FD_CLOEXEC && fcntl(100, F_GETFD) == 0);
	FAILS(dup3(a, a, 0), EINVAL);
	FAILS(dup2(a, -1), EBADF);
	FAILS(dup2(50, 51), EBADF);
	FAILS(dup(50), EBADF);
	CHECK(fcntl(a, F_DUPFD, 40) == 40 && fcntl(a, F_DUPFD, 40) == 41 && fcntl(a, F_DUPFD_CLOEXEC, 40) == 42);
	CHECK(fcntl(42, F_GETFD) == FD_CLOEXEC && fcntl(41, F_GETFD) == 0 && pread(42, got, 4, 0) == 4 && !memcmp(got, "abcd", 4));
	FAILS(fcntl(a, F_DUPFD, 1 << 30), EINVAL);
	/* over a host descriptor and back */
	int h = hosts("dup");
	CHECK(h == 5 && write(h, "host", 4) == 4 && dup2(a, h) == h && pread(h, got, 4, 0) == 4 && !memcmp(got, "abcd", 4));
	CHECK((h = hosts("dup")) == 6 && dup2(h, 100) == 100 && pread(100, got, 4, 0) == 4 && !memcmp(got, "host", 4));
	CHECK(pread(41, got, 4, 0) == 4 && !memcmp(got, "abcd", 4));
	CHECK(!close_range(3, ~0u, 0) && mine("after") == 3);
	FAILS(fcntl(42, F_GETFD), EBADF);
	CHECK(!close(3));
}

static void ranges(void)
{
	for (int i = 3; i < 13; i++)
		CHECK((i % 2 ? mine("r") : hosts("r")) == i);
	CHECK(!close_range(5, 8, 0));
	FAILS(fcntl(5, F_GETFD), EBADF);
	FAILS(fcntl(8, F_GETFD), EBADF);
	CHECK(fcntl(4, F_GETFD) == 0 && fcntl(9, F_GETFD) == 0 && mine("r") == 5 && hosts("r") == 6);
	CHECK(!close_range(9, ~0u, CLOSE_RANGE_CLOEXEC) && fcntl(9, F_GETFD) == FD_CLOEXEC && fcntl(10, F_GETFD) == FD_CLOEXEC);
	FAILS(close_range(9, 3, 0), EINVAL);
	CHECK(!close_range(3, ~0u, 0));
}

static void flags(void)
{
	int a = open(at(D, "flags"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	CHECK(a == 3 && fcntl(a, F_GETFD) == FD_CLOEXEC && !fcntl(a, F_SETFD, 0) && fcntl(a, F_GETFD) == 0);
	CHECK((fcntl(a, F_GETFL) & (O_ACCMODE | O_APPEND)) == O_RDWR && !fcntl(a, F_SETFL, O_APPEND | O_NONBLOCK));
	CHECK((fcntl(a, F_GETFL) & (O_APPEND | O_NONBLOCK)) == (O_APPEND | O_NONBLOCK));
	CHECK(write(a, "12", 2) == 2 && lseek(a, 0, SEEK_SET) == 0 && write(a, "34", 2) == 2 && lseek(a, 0, SEEK_CUR) == 4);
	CHECK(!close(a) && open(at(D, "flags"), O_RDONLY) == 3);
	FAILS(write(3, "x", 1), EBADF);
	FAILS(ftruncate(3, 0), EINVAL);
	CHECK(!close(3) && open(at(D, "flags"), O_WRONLY) == 3);
	FAILS(read(3, &a, 1), EBADF);
	FAILS(lseek(3, -1, SEEK_SET), EINVAL);
	errno = 0;
	CHECK(!isatty(3));
	CHECK(!close(3));
}

static void limit(void)
{
	struct rlimit old, small = { 32, 32 };

	CHECK(!getrlimit(RLIMIT_NOFILE, &old));
	small.rlim_max = old.rlim_max;
	CHECK(!setrlimit(RLIMIT_NOFILE, &small));
	for (int i = 3; i < 32; i++)
		CHECK((i % 3 ? mine("l") : hosts("l")) == i);
	FAILS(mine("l"), EMFILE);
	FAILS(hosts("l"), EMFILE);
	FAILS(dup(5), EMFILE);
	FAILS(dup2(5, 32), EBADF);
	CHECK(!setrlimit(RLIMIT_NOFILE, &old) && !close_range(3, ~0u, 0));
	/* many at once */
	int most = old.rlim_cur < 900 ? (int)old.rlim_cur - 10 : 900;
	for (int i = 3; i < most; i++)
		CHECK(mine("l") == i);
	CHECK(!close_range(3, ~0u, 0));
}

static void standard_three(void)
{
	char got[32] = "";
	int out = dup(1), in = dup(0), a = mine("std");

	CHECK(dup2(a, 1) == 1 && printf("to the image\n") > 0 && !fflush(stdout) && dup2(out, 1) == 1);
	CHECK(lseek(a, 0, SEEK_SET) == 0 && dup2(a, 0) == 0 && fgets(got, sizeof(got), stdin) && !strcmp(got, "to the image\n"));
	CHECK(!close(0) && mine("zero") == 0 && !close(0) && dup2(in, 0) == 0 && !close_range(3, ~0u, 0));
}

static int check(void)
{
	CHECK(!close_range(3, ~0u, 0));
	lowest();
	dups();
	ranges();
	flags();
	limit();
	standard_three();
	return 0;
}
