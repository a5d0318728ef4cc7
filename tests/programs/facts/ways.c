/* SPDX-License-Identifier: GPL-2.0-only */
/* Ways into the directory under other names: symlinks in the host's directory, relative paths, dots. */
#include "fact.h"
#include <linux/stat.h>

static struct stat root;

static int same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static void looks_at_the_directory(const char *path)
{
	struct stat st;
	struct statx x;
	int fd;

	CHECK(!stat(path, &st) && same(&st, &root));
	CHECK(!syscall(SYS_statx, AT_FDCWD, path, 0, STATX_INO, &x) && x.stx_ino == root.st_ino);
	for (int mode = 0; mode < 8; mode++)
		CHECK(access(path, mode) == access(D, mode) && faccessat(AT_FDCWD, path, mode, AT_EACCESS) == faccessat(AT_FDCWD, D, mode, AT_EACCESS));
	CHECK((fd = open(path, O_PATH)) >= 0 && !fstat(fd, &st) && same(&st, &root) && !close(fd));
	CHECK((fd = open(path, O_RDONLY | O_DIRECTORY)) >= 0 && !fstat(fd, &st) && same(&st, &root));
	CHECK(!fstatat(fd, "hello.txt", &st, 0) && st.st_size == 14 && !close(fd));
	FAILS(open(path, O_WRONLY), EISDIR);
	FAILS(open(path, O_RDWR | O_CREAT, 0600), EISDIR);

	DIR *dir = opendir(path);
	int found = 0;
	CHECK(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		found += !strcmp(entry->d_name, "hello.txt");
	CHECK(found == 1 && !closedir(dir));
}

static void looks_into_it(const char *way)
{
	char path[PATH_MAX], text[64] = "";
	struct stat st, made;
	int fd;

	snprintf(path, sizeof(path), "%s/hello.txt", way);
	CHECK(!stat(path, &st) && st.st_size == 14 && !lstat(path, &st) && st.st_size == 14 && !access(path, R_OK));
	CHECK((fd = open(path, O_RDONLY)) >= 0 && read(fd, text, sizeof(text)) == 14 && !close(fd));
	CHECK((fd = open(path, O_RDWR)) >= 0 && pwrite(fd, text, 1, 0) == 1 && !close(fd));
	FAILS(readlink(path, text, sizeof(text)), EINVAL);
	snprintf(path, sizeof(path), "%s/link", way);
	CHECK(readlink(path, text, sizeof(text)) == 9 && !lstat(path, &st) && S_ISLNK(st.st_mode));
	snprintf(path, sizeof(path), "%s/missing", way);
	FAILS(stat(path, &st), ENOENT);
	FAILS(open(path, O_RDONLY), ENOENT);
	FAILS(access(path, F_OK), ENOENT);
	snprintf(path, sizeof(path), "%s/hello.txt/x", way);
	FAILS(stat(path, &st), ENOTDIR);
	snprintf(path, sizeof(path), "%s/made", way);
	CHECK((fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0640)) >= 0 && write(fd, "made", 4) == 4 && !close(fd));
	CHECK(!stat(at(D, "made"), &made) && made.st_size == 4 && !stat(path, &st) && same(&st, &made));
	CHECK((fd = open(path, O_WRONLY | O_TRUNC)) >= 0 && !close(fd) && !stat(at(D, "made"), &made) && made.st_size == 0);
	CHECK(!unlink(path) && access(at(D, "made"), F_OK) && !mkdir(path, 0755) && !rmdir(at(D, "made")));
}

static int check(void)
{
	char room[PATH_MAX], *name;
	struct stat st;

	CHECK(!stat(D, &root) && !symlink(D, at(H, "way")) && !symlink("way", at(H, "again")) && !symlink(at(D, "dir"), at(H, "deep")));
	snprintf(room, sizeof(room), "%s", D);
	name = strrchr(room, '/');
	*name++ = 0;
	CHECK(!mkdir(at(H, "sub"), 0755) && !symlink(room, at(H, "room")));

	const char *ways[] = { strdup(at(H, "way")), strdup(at(H, "again")), "way", "./again", "sub/../way", "room/d", strdup(at(H, "room/d")), "way/.", "way/", "way/dir/..", "../d" };
	CHECK(!chdir(H));
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		looks_at_the_directory(ways[i]);
		looks_into_it(ways[i]);
	}
	CHECK(!lstat("way", &st) && S_ISLNK(st.st_mode) && !stat("deep/a", &st) && st.st_size == 7);
	FAILS(open("way", O_RDONLY | O_NOFOLLOW), ELOOP);

	CHECK(!chdir(room));
	looks_at_the_directory(name);
	looks_into_it(name);
	int up = open("..", O_RDONLY | O_DIRECTORY), here = open(".", O_PATH);
	CHECK(up >= 0 && here >= 0 && !fstatat(here, name, &st, 0) && same(&st, &root) && !fstatat(here, name, &st, AT_SYMLINK_NOFOLLOW) && same(&st, &root));
	CHECK(!chdir(H) && !fstatat(here, "h/way", &st, 0) && same(&st, &root));
	/* and what is the host's stays the host's */
	CHECK(!stat("host.txt", &st) && st.st_size == 12 && !access(at(H, "host.txt"), R_OK) && !stat("way/../h/host.txt", &st) && st.st_size == 12);
	return 0;
}
