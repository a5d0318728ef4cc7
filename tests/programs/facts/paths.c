/* SPDX-License-Identifier: GPL-2.0-only */
/* Names: relative to descriptors and to the current directory, the *at family, links, and what inode calls tell. */
#include "fact.h"
#include <ftw.h>
#include <glob.h>

static int seen;
static int count(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path, (void)st, (void)type, (void)ftw;
	seen++;
	return 0;
}

static void current_directory(void)
{
	char here[PATH_MAX], want[PATH_MAX];

	CHECK(!chdir(D) && getcwd(here, sizeof(here)) && !strcmp(here, D));
	CHECK(!chdir("dir/sub") && getcwd(here, sizeof(here)) && !strcmp(here, at(D, "dir/sub")));
	FAILS(getcwd(want, 5) ? 0 : -1, ERANGE);
	CHECK(!access("c", R_OK) && !access("../a", R_OK) && !access("../../../h/host.txt", R_OK));
	CHECK(!chdir("../../../h") && getcwd(here, sizeof(here)) && !strcmp(here, H) && !access("host.txt", F_OK));
	CHECK(!chdir("../d/dirlink") && getcwd(here, sizeof(here)) && !strcmp(here, at(D, "dir")));
	int fd = open("..", O_RDONLY | O_DIRECTORY), h = open(H, O_PATH);
	CHECK(fd >= 0 && h >= 0 && !fchdir(h) && !access("host.txt", F_OK) && !fchdir(fd) && !access("hello.txt", F_OK));
	char *whole = get_current_dir_name();
	CHECK(whole && !strcmp(whole, D));
	free(whole);
	CHECK(!mkdir("cwd", 0755) && !chdir("cwd") && !rmdir("../cwd"));
	FAILS(getcwd(here, sizeof(here)) ? 0 : -1, ENOENT);
	FAILS(open("x", O_CREAT | O_RDWR, 0600), ENOENT);
	CHECK(!chdir(H) && !close(fd) && !close(h));
	FAILS(chdir(at(D, "hello.txt")), ENOTDIR);
	FAILS(chdir(at(D, "missing")), ENOENT);
}

static void from_descriptors(void)
{
	struct stat st, st2;
	char link[100];
	int d = open(D, O_RDONLY | O_DIRECTORY), h = open(H, O_RDONLY | O_DIRECTORY), p = open(at(D, "dir"), O_PATH);

	CHECK(d >= 0 && h >= 0 && p >= 0);
	CHECK(!fstatat(d, "hello.txt", &st, 0) && st.st_size == 14 && !fstatat(d, "../h/host.txt", &st, 0) && st.st_size == 12);
	CHECK(!fstatat(h, "../d/hello.txt", &st, 0) && st.st_size == 14 && !fstatat(p, "a", &st, 0) && st.st_size == 7);
	CHECK(!fstatat(h, at(D, "hello.txt"), &st, 0) && !fstatat(d, "", &st2, AT_EMPTY_PATH) && S_ISDIR(st2.st_mode));
	CHECK(!fstatat(d, "link", &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode) && st.st_size == 9);
	CHECK(readlinkat(d, "link", link, sizeof(link)) == 9 && !memcmp(link, "hello.txt", 9) && readlinkat(d, "link", link, 3) == 3);
	CHECK(!mkdirat(d, "at", 0750) && !symlinkat("target", d, "at/s") && !linkat(d, "hello.txt", d, "at/l", 0));
	CHECK(!renameat(d, "at/l", p, "moved") && !fstatat(p, "moved", &st, 0) && st.st_nlink == 2 && !unlinkat(p, "moved", 0));
	CHECK(!unlinkat(d, "at/s", 0) && !unlinkat(d, "at", AT_REMOVEDIR));
	CHECK(!fchmodat(d, "tabs.txt", 0604, 0) && !fstatat(d, "tabs.txt", &st, 0) && (st.st_mode & 07777) == 0604);
	CHECK(!fchownat(d, "tabs.txt", getuid(), getgid(), 0) && !faccessat(d, "tabs.txt", R_OK, 0));
	FAILS(faccessat(d, "tabs.txt/", R_OK, 0), ENOTDIR);
	FAILS(openat(d, "missing/x", O_RDONLY), ENOENT);
	static const int bad[] = { 99, -1, -5, INT_MIN, INT_MAX, 1 << 20 };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		FAILS(openat(bad[i], "x", O_RDONLY), EBADF);
		FAILS(openat(bad[i], "../x", O_RDONLY), EBADF);
		FAILS(mkdirat(bad[i], "x", 0700), EBADF);
		FAILS(fstatat(bad[i], "x", &st, 0), EBADF);
		FAILS(fstatat(bad[i], "", &st, AT_EMPTY_PATH), EBADF);
		FAILS(renameat(bad[i], "x", bad[i], "y"), EBADF);
		FAILS(symlinkat("x", bad[i], "y"), EBADF);
		FAILS(fstat(bad[i], &st), EBADF);
		FAILS(read(bad[i], link, 1), EBADF);
		FAILS(close(bad[i]), EBADF);
		FAILS(dup(bad[i]), EBADF);
		FAILS(fchdir(bad[i]), EBADF);
		FAILS(fcntl(bad[i], F_GETFL), EBADF);
		FAILS(sendfile(1, bad[i], NULL, 1), EBADF);
		CHECK(!faccessat(bad[i], at(D, "hello.txt"), R_OK, 0));
	}
	FAILS(fstatat(d, "", &st, 0), ENOENT);
	FAILS(unlinkat(d, "dir", 0), EISDIR);
	FAILS(mkdirat(d, "dir", 0700), EEXIST);
	int f = openat(d, "hello.txt", O_RDONLY);
	FAILS(openat(f, "x", O_RDONLY), ENOTDIR);
	FAILS(read(p, link, 1), EBADF);
	CHECK(!close(d) && !close(h) && !close(p) && !close(f));
}

static void opening(void)
{
	struct stat st;
	int fd;

	FAILS(open(at(D, "link"), O_RDONLY | O_NOFOLLOW), ELOOP);
	FAILS(open(at(D, "loop1"), O_RDONLY), ELOOP);
	FAILS(open(at(D, "hello.txt"), O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS(open(at(D, "hello.txt"), O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	FAILS(open(at(D, "link"), O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	FAILS(open(at(D, "dir"), O_WRONLY), EISDIR);
	FAILS(open(at(D, ""), O_WRONLY), EISDIR);
	FAILS(open("", O_RDONLY), ENOENT);
	umask(027);
	CHECK((fd = open(at(D, "masked"), O_CREAT | O_WRONLY, 0777)) >= 0 && !fstat(fd, &st) && (st.st_mode & 07777) == 0750 && !close(fd));
	umask(022);
	CHECK((fd = creat(at(D, "created"), 0666)) >= 0 && write(fd, "123", 3) == 3 && !close(fd));
	CHECK((fd = open(at(D, "created"), O_RDWR | O_TRUNC)) >= 0 && !fstat(fd, &st) && st.st_size == 0 && !close(fd));
	fd = open(D, O_TMPFILE | O_RDWR, 0600);
	CHECK(fd >= 0 && write(fd, "tmp", 3) == 3 && !fstat(fd, &st) && st.st_nlink == 0);
	CHECK(!close(fd));
	char template[PATH_MAX];
	strcpy(template, at(D, "mkstempXXXXXX"));
	CHECK((fd = mkstemp(template)) >= 0 && write(fd, "x", 1) == 1 && !close(fd) && !unlink(template));
	strcpy(template, at(D, "mkdtempXXXXXX"));
	CHECK(mkdtemp(template) && !rmdir(template));
}

static void renames(void)
{
	struct stat a, b;

	CHECK(!stat(at(D, "hello.txt"), &a) && !stat(at(D, "empty"), &b));
	FAILS(renameat2(AT_FDCWD, at(D, "hello.txt"), AT_FDCWD, at(D, "empty"), RENAME_NOREPLACE), EEXIST);
	CHECK(!renameat2(AT_FDCWD, at(D, "hello.txt"), AT_FDCWD, at(D, "empty"), RENAME_EXCHANGE));
	struct stat c;
	CHECK(!stat(at(D, "empty"), &c) && c.st_ino == a.st_ino && !stat(at(D, "hello.txt"), &c) && c.st_ino == b.st_ino);
	CHECK(!renameat2(AT_FDCWD, at(D, "hello.txt"), AT_FDCWD, at(D, "empty"), RENAME_EXCHANGE));
	FAILS(rename(at(D, "dir"), at(D, "dir/sub/x")), EINVAL);
	FAILS(rename(at(D, "hello.txt"), at(D, "dir")), EISDIR);
	FAILS(rename(at(D, "dir"), at(D, "hello.txt")), ENOTDIR);
	FAILS(rename(at(D, "emptydir"), at(D, "dir")), ENOTEMPTY);
	FAILS(rmdir(at(D, "dir")), ENOTEMPTY);
	FAILS(rmdir(at(D, "hello.txt")), ENOTDIR);
	FAILS(unlink(at(D, "missing")), ENOENT);
	FAILS(link(at(D, "dir"), at(D, "hard")), EPERM);
}

static void inodes(void)
{
	struct stat st, lst;
	struct statx stx;
	struct statvfs vfs;
	struct timespec times[2] = { { 1000, 500 }, { 0, UTIME_OMIT } };

	CHECK(!stat(at(D, "big.dat"), &st) && !statx(AT_FDCWD, at(D, "big.dat"), 0, STATX_ALL, &stx));
	CHECK(stx.stx_size == (uint64_t)st.st_size && stx.stx_ino == st.st_ino && stx.stx_mode == st.st_mode && stx.stx_nlink == st.st_nlink);
	CHECK(stx.stx_blocks == (uint64_t)st.st_blocks && stx.stx_uid == st.st_uid && stx.stx_mtime.tv_sec == st.st_mtim.tv_sec);
	CHECK(!lstat(at(D, "link"), &lst) && S_ISLNK(lst.st_mode) && !stat(at(D, "link"), &lst) && S_ISREG(lst.st_mode));
	CHECK(!stat(at(D, "dir"), &lst) && lst.st_dev == st.st_dev && !stat(H, &lst));
	CHECK(!statvfs(D, &vfs) && vfs.f_bsize == 4096 && vfs.f_namemax == 255 && vfs.f_bfree <= vfs.f_blocks);
	CHECK(!utimensat(AT_FDCWD, at(D, "empty"), times, 0) && !stat(at(D, "empty"), &st) && st.st_atim.tv_sec == 1000 && st.st_atim.tv_nsec == 500);
	times[1].tv_nsec = UTIME_NOW;
	int fd = open(at(D, "empty"), O_RDWR);
	CHECK(!futimens(fd, times) && !fstat(fd, &st) && st.st_mtim.tv_sec > 1700000000);
	CHECK(!fchmod(fd, 0611) && !fchown(fd, -1, -1) && !fstat(fd, &st) && (st.st_mode & 0777) == 0611);
	CHECK(!fstatvfs(fd, &vfs) && !fsync(fd) && !fdatasync(fd) && !syncfs(fd) && !close(fd));
	CHECK(!truncate(at(D, "empty"), 77) && !stat(at(D, "empty"), &st) && st.st_size == 77);
	CHECK(pathconf(D, _PC_NAME_MAX) == 255 && !access(D, X_OK) && !eaccess(D, W_OK));
	FAILS(access(at(D, "hello.txt"), X_OK), EACCES);
}

static void walking(void)
{
	struct dirent **list, *entry;
	int n = 0;
	DIR *dir = opendir(at(D, "dir"));

	CHECK(dir && dirfd(dir) >= 0);
	long start = telldir(dir);
	while ((entry = readdir(dir)))
		n++;
	CHECK(n == 8);
	seekdir(dir, start);
	for (n = 0; readdir(dir); n++)
		;
	CHECK(n == 8);
	rewinddir(dir);
	CHECK(readdir(dir) && !closedir(dir));
	CHECK(scandir(at(D, "dir"), &list, NULL, alphasort) == 8 && !strcmp(list[3]->d_name, "a") && list[3]->d_type == DT_REG);
	CHECK(!nftw(at(D, "dir"), count, 16, FTW_PHYS) && seen == 10);
	glob_t globbed;
	CHECK(!glob(at(D, "*.txt"), 0, NULL, &globbed) && globbed.gl_pathc >= 10);
	CHECK(!opendir(at(D, "missing")) && errno == ENOENT);
	CHECK(!opendir(at(D, "hello.txt")) && errno == ENOTDIR);
	char whole[PATH_MAX];
	CHECK(realpath(at(D, "dirlink/../link"), whole) && !strcmp(whole, at(D, "hello.txt")));
	CHECK(realpath(at(D, "outlink"), whole) && !strcmp(whole, at(H, "host.txt")));
	int fd = open(at(D, "dir"), O_RDONLY);
	CHECK((dir = fdopendir(fd)) && readdir(dir) && !closedir(dir));
}

static void attributes(void)
{
	char value[64], list[256];

	CHECK(getxattr(at(D, "xattr.txt"), "user.color", value, 64) == 4 && !memcmp(value, "blue", 4));
	CHECK(getxattr(at(D, "xattr.txt"), "user.color", NULL, 0) == 4);
	FAILS(getxattr(at(D, "xattr.txt"), "user.color", value, 2), ERANGE);
	FAILS(getxattr(at(D, "xattr.txt"), "user.no", value, 2), ENODATA);
	CHECK(!setxattr(at(D, "empty"), "user.a", "b", 1, XATTR_CREATE));
	FAILS(setxattr(at(D, "empty"), "user.a", "b", 1, XATTR_CREATE), EEXIST);
	CHECK(listxattr(at(D, "empty"), list, sizeof(list)) >= 7 && !removexattr(at(D, "empty"), "user.a"));
	int fd = open(at(D, "empty"), O_RDWR);
	CHECK(!fsetxattr(fd, "user.f", "fff", 3, 0) && fgetxattr(fd, "user.f", value, 64) == 3 && flistxattr(fd, NULL, 0) >= 7 && !fremovexattr(fd, "user.f") && !close(fd));
	FAILS(lgetxattr(at(D, "link"), "user.color", value, 64), ENODATA);
}

static int check(void)
{
	umask(022);
	current_directory();
	from_descriptors();
	opening();
	renames();
	inodes();
	walking();
	attributes();
	return 0;
}
