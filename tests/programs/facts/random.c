/* SPDX-License-Identifier: GPL-2.0-only */
/* Random calls from a seed, each with its result on standard output: the two sides must print the same. Names are few,
 * so that calls meet: files, directories, links within, out of and into the directory, paths with `.` and `..`. */
#include "fact.h"

static uint32_t state;

static uint32_t any(uint32_t below)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % below;
}

static const char *const names[] = {
	"a", "b", "c", "dir", "dir/a", "dir/b", "dir/sub", "dir/sub/c", "dirlink/a", "link", "dangling", "./a", "dir/../b",
	"dirlink/../c", "e", "e/f", "e/f/../../a", "hello.txt", "hello.txt/", "dir/", "loop1", "", ".", "..", "dir/sub/..",
	"fifo", "outlink", "outdirlink/hostdir/y", "../h/host.txt", "../d/hello.txt", "outdirlink/into/a", "dirlink", "e/",
};
/* A subset that stays inside: for calls that have two names, which across the border are EXDEV, and as the targets of
 * new links, which the former may follow. */
static const char *const inside[] = {
	"a", "b", "c", "dir", "dir/a", "dir/b", "dir/sub", "dir/sub/c", "e", "e/f", "link", "hello.txt", "dangling", "e/g", "dir/x",
};
#define OF(list) list[any(sizeof(list) / sizeof(list[0]))]

static int dirs[4], fds[8];
static char text[5000];

/* A path: absolute, or relative to the current directory. */
static const char *path(const char *name)
{
	return any(2) ? name : at(D, name);
}

static void say(const char *what, const char *name, long result)
{
	printf("%s %s %ld %d\n", what, name, result < 0 ? -1 : result, result < 0 ? errno : 0);
}

static void show(const char *what, const char *name, int result, const struct stat *st)
{
	if (result)
		return say(what, name, result);
	printf("%s %s: %o %ld %ld\n", what, name, st->st_mode, (long)st->st_nlink, S_ISDIR(st->st_mode) ? 0L : (long)st->st_size);
}

static void by_name(void)
{
	const char *name = OF(names);
	struct stat st;
	char got[256];
	ssize_t n;

	switch (any(13)) {
	case 0: return show("stat", name, stat(path(name), &st), &st);
	case 1: return show("lstat", name, lstat(path(name), &st), &st);
	case 2: return say("mkdir", name, mkdir(path(name), 0755));
	case 3: return say("rmdir", name, rmdir(*name ? path(name) : "")); /* of a mount point it is EBUSY */
	case 4: return say("unlink", name, unlink(path(name)));
	case 5: return say("access", name, access(path(name), any(8)));
	case 6: return say("chmod", name, chmod(path(name), 0700 | any(64)));
	case 7: return say("truncate", name, truncate(path(name), any(20000)));
	case 8: return say("symlink", name, symlink(OF(inside), path(name)));
	case 9:
		n = readlink(path(name), got, sizeof(got) - 1);
		got[n < 0 ? 0 : n] = 0;
		say("readlink", name, n);
		printf("%s\n", got);
		return;
	case 10: return say("utimes", name, utimes(path(name), NULL));
	case 11: return say("chdir", name, chdir(any(3) ? D : path(name)));
	default: return say("setxattr", name, any(2) ? lsetxattr(path(name), "user.x", name, strlen(name), 0) : lgetxattr(path(name), "user.x", got, sizeof(got)));
	}
}

static void by_two_names(void)
{
	const char *from = OF(inside), *to = OF(inside);
	char pair[600];

	snprintf(pair, sizeof(pair), "%s %s", from, to);
	switch (any(4)) {
	case 0: return say("link", pair, link(at(D, from), at(D, to)));
	case 1: return say("rename2", pair, renameat2(dirs[0], from, dirs[0], to, any(2) ? RENAME_NOREPLACE : RENAME_EXCHANGE));
	default: return say("rename", pair, rename(at(D, from), at(D, to)));
	}
}

static void opens(void)
{
	static const int flags[] = { O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_WRONLY | O_TRUNC, O_RDWR | O_APPEND | O_CREAT, O_RDONLY | O_DIRECTORY, O_PATH, O_RDONLY | O_NOFOLLOW, O_PATH | O_NOFOLLOW };
	int slot = any(8), flag = flags[any(sizeof(flags) / sizeof(flags[0]))], dir = any(5);
	const char *name = OF(names);

	if (fds[slot] >= 0)
		say("close", "", close(fds[slot]));
	fds[slot] = openat(dir < 4 ? dirs[dir] : AT_FDCWD, dir < 4 && any(2) ? name : path(name), flag | O_CLOEXEC | O_NONBLOCK, 0640);
	say("open", name, fds[slot]);
}

static void by_descriptor(void)
{
	int slot = any(8), fd = fds[slot], other = any(8);
	struct stat st;
	char got[5000];
	ssize_t n;

	switch (any(12)) {
	case 0: return say("write", "", write(fd, text + any(100), any(4900)));
	case 1: return say("pwrite", "", pwrite(fd, text + any(100), any(4900), any(30000)));
	case 2:
	case 3:
		n = any(2) ? read(fd, got, any(5000)) : pread(fd, got, any(5000), any(30000));
		say("read", "", n);
		uint32_t sum = 0;
		for (ssize_t i = 0; i < n; i++)
			sum = sum * 31 + (unsigned char)got[i];
		printf("%u\n", sum);
		return;
	case 4: return say("lseek", "", lseek(fd, any(30000), any(5)));
	case 5: return say("ftruncate", "", ftruncate(fd, any(20000)));
	case 6: return show("fstat", "", fstat(fd, &st), &st);
	case 7:
		if (fds[other] >= 0 && other != slot)
			say("close", "", close(fds[other]));
		if (other != slot)
			say("dup", "", fds[other] = dup(fd));
		return;
	case 8:
		if (fds[other] >= 0 && fd >= 0 && other != slot)
			say("dup2", "", dup2(fd, fds[other]));
		return;
	case 9: return say("fsync", "", any(10) ? fdatasync(fd) : fsync(fd));
	case 10: return say("getfl", "", fcntl(fd, F_GETFL) & ~0100000);
	default: return say("fchmod", "", fchmod(fd, 0700 | any(64)));
	}
}

static void listing(void)
{
	const char *name = OF(names);
	DIR *dir = opendir(path(name));
	unsigned sum = 0, count = 0;
	char here[PATH_MAX] = "";

	if (dir) {
		for (struct dirent *entry; (entry = readdir(dir)); count++)
			for (const char *c = entry->d_name; *c; c++)
				sum += *c * (entry->d_type + 1);
		closedir(dir);
	}
	printf("list %s %d %u %u\n", name, dir ? 0 : errno, count, sum);
	say("getcwd", "", syscall(SYS_getcwd, here, sizeof(here)) < 0 ? -1 : 0);
	printf("%s\n", here);
}

static int check(void)
{
	long seed = atol(getenv("SEED"));

	state = seed * 2654435761u;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = any(256);
	for (int i = 0; i < 8; i++)
		fds[i] = -1;
	umask(022);
	signal(SIGPIPE, SIG_IGN); /* of the named pipe */
	CHECK(!chdir(D));
	dirs[0] = open(D, O_RDONLY | O_DIRECTORY);
	dirs[1] = open(at(D, "dir"), O_RDONLY | O_DIRECTORY);
	dirs[2] = open(H, O_RDONLY | O_DIRECTORY);
	dirs[3] = open(at(D, "dir/sub"), O_PATH);
	CHECK(dirs[0] >= 0 && dirs[1] >= 0 && dirs[2] >= 0 && dirs[3] >= 0);
	for (int i = 0; i < 1500; i++) {
		switch (any(8)) {
		case 0:
		case 1:
		case 2: by_name(); break;
		case 3: by_two_names(); break;
		case 4: opens(); break;
		case 5:
		case 6: by_descriptor(); break;
		default: listing();
		}
	}
	return 0;
}
