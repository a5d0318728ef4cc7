/* SPDX-License-Identifier: GPL-2.0-only */
/* The names that /proc gives to open files and to the current directory. */
#include "fact.h"
#include <sys/vfs.h>

static void is(const char *link, const char *expected)
{
	char got[PATH_MAX] = "";

	CHECK(readlink(link, got, sizeof(got) - 1) > 0);
	if (strcmp(got, expected)) {
		printf("%s is %s, not %s\n", link, got, expected);
		fflush(stdout);
		_exit(1);
	}
}

static int check(void)
{
	char link[64], bytes[64], own[64];
	int fd = open(at(D, "hello.txt"), O_RDONLY), dir = open(at(D, "dir"), O_RDONLY | O_DIRECTORY), host = open(at(H, "host.txt"), O_RDONLY), again;

	CHECK(fd >= 0 && dir >= 0 && host >= 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	is(link, at(D, "hello.txt"));
	snprintf(own, sizeof(own), "/proc/%d/fd/%d", getpid(), fd);
	is(own, at(D, "hello.txt"));
	CHECK((again = open(link, O_RDONLY)) >= 0 && read(again, bytes, 64) == 14 && !memcmp(bytes, "Hello", 5) && !close(again));
	snprintf(link, sizeof(link), "/dev/fd/%d", fd);
	CHECK((again = open(link, O_RDONLY)) >= 0 && read(again, bytes, 64) == 14 && !close(again));
	struct stat st, st2;
	CHECK(!stat(link, &st) && !fstat(fd, &st2) && st.st_ino == st2.st_ino && st.st_size == 14);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	is(link, at(D, "dir"));
	snprintf(link, sizeof(link), "/proc/self/fd/%d/a", dir);
	CHECK((again = open(link, O_RDONLY)) >= 0 && read(again, bytes, 64) == 7 && !close(again));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", host);
	is(link, at(H, "host.txt"));
	CHECK(!chdir(at(D, "dir/sub")));
	is("/proc/self/cwd", at(D, "dir/sub"));
	CHECK(!access("/proc/self/cwd/c", R_OK) && !chdir(H));
	is("/proc/self/cwd", H);
	/* a nameless file gets a name */
	int nameless = open(D, O_TMPFILE | O_RDWR, 0600);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", nameless);
	CHECK(nameless >= 0 && write(nameless, "named", 5) == 5 && !linkat(AT_FDCWD, link, AT_FDCWD, at(D, "named"), AT_SYMLINK_FOLLOW));
	CHECK(!stat(at(D, "named"), &st) && st.st_size == 5);
	/* what has no path: a pipe, and a host's file that is gone; opened for reading, and as a shell redirects */
	int pipes[2], gone;
	CHECK(!pipe(pipes) && (gone = open(at(H, "gone"), O_CREAT | O_RDWR, 0600)) >= 0 && write(gone, "gone!", 5) == 5 && !unlink(at(H, "gone")));
	const char *names[] = { "/proc/self/fd/%d", "/dev/fd/%d", "/proc/thread-self/fd/%d" };
	for (int i = 0; i < 3; i++) {
		snprintf(link, sizeof(link), names[i], pipes[1]);
		CHECK((again = open(link, O_WRONLY | O_CREAT | O_TRUNC, 0666)) >= 0 && write(again, "x", 1) == 1 && !close(again));
		CHECK(!stat(link, &st) && S_ISFIFO(st.st_mode) && !access(link, W_OK));
		snprintf(link, sizeof(link), names[i], pipes[0]);
		CHECK((again = open(link, O_RDONLY)) >= 0 && read(again, bytes, 64) == 1 && !close(again));
		snprintf(link, sizeof(link), names[i], gone);
		CHECK((again = open(link, O_RDWR | O_CREAT, 0600)) >= 0 && read(again, bytes, 64) == 5 && !close(again));
		CHECK(!truncate(link, 5) && !stat(link, &st) && st.st_size == 5);
		snprintf(link, sizeof(link), names[i], fd);
		CHECK(!unlink(at(H, "alias")) || errno == ENOENT);
		CHECK(!symlink(link, at(H, "alias")) && (again = open(at(H, "alias"), O_RDONLY)) >= 0 && read(again, bytes, 64) == 14 && !close(again));
	}
	CHECK(!unlink(at(H, "alias")) && dup2(pipes[0], 0) == 0 && write(pipes[1], "in", 2) == 2);
	CHECK((again = open("/dev/stdin", O_RDONLY)) >= 0 && read(again, bytes, 64) == 2 && !close(again) && !stat("/dev/stdin", &st) && S_ISFIFO(st.st_mode));
	/* standard input from the directory under test, by its names */
	CHECK(dup2(fd, 0) == 0 && (again = open("/dev/stdin", O_RDONLY)) >= 0 && read(again, bytes, 64) == 14 && !close(again));
	/* a file of the directory that is gone: what it is called, itself again, and again from its beginning */
	int unlinked = open(at(D, "unlinked"), O_CREAT | O_RDWR, 0600);
	CHECK(unlinked >= 0 && write(unlinked, "gone!", 5) == 5 && !unlink(at(D, "unlinked")));
	snprintf(bytes, sizeof(bytes), "/proc/self/fd/%d", unlinked);
	is(bytes, at(D, "unlinked (deleted)"));
	for (int i = 0; i < 3; i++) {
		snprintf(link, sizeof(link), names[i], unlinked);
		CHECK((again = open(link, O_RDWR | O_CREAT, 0600)) >= 0 && read(again, bytes, 64) == 5 && !close(again));
		CHECK((again = open(link, O_WRONLY | O_APPEND)) >= 0 && write(again, "?", 1) == 1 && ftruncate(again, 5) == 0 && !close(again));
		CHECK((again = open(link, O_PATH)) >= 0 && !fstat(again, &st) && st.st_size == 5 && st.st_nlink == 0 && !close(again));
		FAILS(open(link, O_RDONLY | O_DIRECTORY), ENOTDIR);
		FAILS(open(link, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
		CHECK(!stat(link, &st) && st.st_size == 5 && st.st_nlink == 0 && !fstat(unlinked, &st2) && st.st_ino == st2.st_ino);
		CHECK(!access(link, R_OK | W_OK) && !chmod(link, 0640) && !fstat(unlinked, &st) && (st.st_mode & 0777) == 0640);
		CHECK(!utimensat(AT_FDCWD, link, (struct timespec[]){ { 5, 0 }, { 6, 0 } }, 0) && !stat(link, &st) && st.st_mtime == 6);
		CHECK(!chown(link, -1, getegid()) && !lstat(link, &st) && S_ISLNK(st.st_mode));
		/* calls without a form by directory and name */
		struct statfs about, by_descriptor;
		CHECK(!truncate(link, 3) && !fstat(unlinked, &st) && st.st_size == 3 && !truncate(link, 5));
		CHECK(!statfs(link, &about) && !fstatfs(unlinked, &by_descriptor) && about.f_blocks == by_descriptor.f_blocks);
		CHECK(!setxattr(link, "user.gone", "yes", 3, 0) && getxattr(link, "user.gone", bytes, 64) == 3 && !memcmp(bytes, "yes", 3));
		CHECK(listxattr(link, bytes, 64) == 10 && !removexattr(link, "user.gone") && fgetxattr(unlinked, "user.gone", bytes, 64) < 0);
		FAILS(lgetxattr(link, "user.gone", bytes, 64), ENODATA);
		FAILS(chdir(link), ENOTDIR);
	}
	CHECK((again = open(link, O_WRONLY | O_TRUNC)) >= 0 && !close(again) && !fstat(unlinked, &st) && st.st_size == 0);
	CHECK(!mkdir(at(D, "gone-dir"), 0700) && (again = open(at(D, "gone-dir"), O_RDONLY)) >= 0 && !rmdir(at(D, "gone-dir")));
	snprintf(bytes, sizeof(bytes), "/proc/self/fd/%d", again);
	is(bytes, at(D, "gone-dir (deleted)"));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", again);
	CHECK(!chdir(link) && !stat(".", &st) && !fstat(again, &st2) && st.st_ino == st2.st_ino && st.st_nlink == 0);
	CHECK(!getcwd(own, sizeof(own)) && errno == ENOENT && !chdir(H));
	CHECK(!close(again) && !close(unlinked));
	int count = 0;
	DIR *fds = opendir("/proc/self/fd");
	for (struct dirent *entry; (entry = readdir(fds)); count++) {
		if (entry->d_name[0] != '.')
			CHECK(fcntl(atoi(entry->d_name), F_GETFD) >= 0);
	}
	for (int number = 0; number < 10000; number++) {
		/* what is not open has no name, and the other way round */
		snprintf(link, sizeof(link), number & 1 ? "/proc/self/fd/%d" : "/dev/fd/%d", number);
		CHECK((fcntl(number, F_GETFD) >= 0) == (readlink(link, bytes, sizeof(bytes)) > 0));
		CHECK((fcntl(number, F_GETFD) >= 0) == !lstat(link, &st));
	}
	CHECK(count >= 8 && !closedir(fds));
	return 0;
}
