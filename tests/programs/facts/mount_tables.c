/* SPDX-License-Identifier: GPL-2.0-only */
/* What /proc says of the mount that the directory is: its line in each table, and the numbers that other calls give. */
#include "fact.h"
#include <mntent.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

static char text[1 << 20];
static int id, parent;

/* All of a file, read in pieces; from a descriptor, which stays open. */
static size_t rest(int fd, char *to, size_t piece)
{
	size_t len = 0;
	for (ssize_t n; (n = read(fd, to + len, piece)) > 0; len += n)
		CHECK(len + 2 * piece < sizeof(text));
	to[len] = 0;
	return len;
}

static char *slurp(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(rest(fd, text, 4096) > 0 && !close(fd));
	return text;
}

/* The line whose field at this place is the directory. */
static char *line_of(char *lines, int field)
{
	static char found[8192];
	for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
		char copy[8192], *save, *word;
		snprintf(copy, sizeof(copy), "%s", line);
		word = strtok_r(copy, " ", &save);
		for (int i = 0; i < field && word; i++)
			word = strtok_r(NULL, " ", &save);
		if (word && !strcmp(word, D))
			return strcpy(found, line);
	}
	return NULL;
}

static int has_line(const char *path, int field)
{
	return line_of(slurp(path), field) != NULL;
}

static int mount_id(int dirfd, const char *path, int flags)
{
	struct statx about;
	CHECK(!statx(dirfd, path, flags, 0x1000, &about) && about.stx_mask & 0x1000);
	return (int)((uint64_t *)&about)[18];
}

static void info(void)
{
	unsigned int major, minor;
	char root[256], place[4096], options[256], type[64], source[4096], super[1024], *line;
	struct stat st;

	CHECK((line = line_of(slurp("/proc/self/mountinfo"), 4)));
	CHECK(sscanf(line, "%d %d %u:%u %255s %4095s %255s - %63s %4095s %1023s", &id, &parent, &major, &minor, root, place, options, type, source, super) == 10);
	CHECK(!stat(D, &st) && st.st_dev == makedev(major, minor));
	CHECK(!strcmp(root, "/") && !strncmp(options, "rw,", 3) && !strcmp(type, "ext4") && !strncmp(super, "rw", 2));
	CHECK(source[0] == '/' && strstr(source, ".img"));
	/* its ids, as other calls have them */
	char fdinfo[64], above[4096], *mnt;
	int fd = open(at(D, "hello.txt"), O_RDONLY | O_CLOEXEC), handle_id = 0, flags;
	CHECK(fd >= 0 && mount_id(AT_FDCWD, D, 0) == id && mount_id(AT_FDCWD, at(D, "dir/a"), 0) == id && mount_id(fd, "", AT_EMPTY_PATH) == id);
	snprintf(above, sizeof(above), "%s/..", D);
	CHECK(mount_id(AT_FDCWD, above, 0) == parent && parent != id);
	struct file_handle *handle = calloc(1, sizeof(*handle) + 128);
	handle->handle_bytes = 128;
	CHECK(!name_to_handle_at(AT_FDCWD, D, handle, &handle_id, 0) && handle_id == id);
	snprintf(fdinfo, sizeof(fdinfo), "/proc/self/fdinfo/%d", fd);
	CHECK(lseek(fd, 5, SEEK_SET) == 5 && !strncmp(slurp(fdinfo), "pos:\t5\n", 7));
	CHECK((mnt = strstr(text, "flags:\t")) && sscanf(mnt, "flags:\t%o", &flags) == 1 && flags & O_CLOEXEC && !(flags & O_ACCMODE));
	CHECK((mnt = strstr(text, "mnt_id:\t")) && atoi(mnt + 8) == id && !close(fd));
}

static void names(void)
{
	char path[128];
	const char *tables[] = { "/proc/mounts", "/proc/self/mounts", "/proc/thread-self/mounts", "/proc/self/../self//mounts" };
	for (int i = 0; i < 4; i++)
		CHECK(has_line(tables[i], 1));
	snprintf(path, sizeof(path), "/proc/%d/mounts", getpid());
	CHECK(has_line(path, 1));
	snprintf(path, sizeof(path), "/proc/%d/task/%d/mountinfo", getpid(), (int)syscall(SYS_gettid));
	CHECK(has_line(path, 4) && has_line("/proc/self/mountstats", 4));
	CHECK(!symlink("/proc/self/mounts", at(H, "mtab")) && has_line(at(H, "mtab"), 1) && !unlink(at(H, "mtab")));
	int proc = open("/proc/self/mounts", O_PATH);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", proc);
	CHECK(proc >= 0 && has_line(path, 1) && !close(proc));
	proc = open("/proc/self", O_PATH | O_DIRECTORY);
	uint64_t how[3] = { O_RDONLY };
	int fds[2] = { openat(proc, "mounts", O_RDONLY), syscall(SYS_openat2, proc, "mounts", how, sizeof(how)) };
	for (int i = 0; i < 2; i++)
		CHECK(fds[i] == proc + 1 + i && rest(fds[i], text, 4096) && line_of(text, 1));
	CHECK(!close(fds[0]) && !close(fds[1]) && !close(proc));
	struct mntent *entry;
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	while ((entry = getmntent(mounts)) && strcmp(entry->mnt_dir, D))
		;
	CHECK(entry && !strcmp(entry->mnt_type, "ext4") && hasmntopt(entry, "rw") && strstr(entry->mnt_fsname, ".img") && endmntent(mounts));
	if (open("/proc/1/mounts", O_RDONLY) >= 0 && getpid() != 1)
		CHECK(!has_line("/proc/1/mounts", 1));
}

/* However it is read, the text is one. */
static void reads(void)
{
	static char other[1 << 20];
	size_t len, at = 0;
	int fd = open("/proc/self/mountinfo", O_RDONLY), copy;
	CHECK(fd >= 0 && (len = rest(fd, text, 7)) > 100 && read(fd, other, 1) == 0);
	CHECK(lseek(fd, 0, SEEK_SET) == 0 && rest(fd, other, 65536) == len && !memcmp(text, other, len));
	for (ssize_t n; (n = pread(fd, other, 13, at)) > 0; at += n)
		CHECK(!memcmp(text + at, other, n));
	CHECK(at == len && lseek(fd, 3, SEEK_SET) == 3 && (copy = dup(fd)) >= 0);
	CHECK(read(copy, other, 4) == 4 && lseek(fd, 0, SEEK_CUR) == 7);
	CHECK(write(fd, "x", 1) == -1 && errno == EBADF);
	pid_t child = fork();
	if (!child)
		_exit(read(copy, other, 5) == 5 && !memcmp(other, text + 7, 5) && has_line("/proc/self/mountinfo", 4) ? 0 : 1);
	CHECK(status_of(child) == 0 && lseek(fd, 0, SEEK_CUR) == 12 && !close(copy));
	struct pollfd poll_in = { fd, POLLIN, 0 }, poll_change = { fd, POLLPRI, 0 };
	CHECK(poll(&poll_in, 1, 0) == 1 && poll_in.revents == POLLIN && poll(&poll_change, 1, 10) == 0);
	struct epoll_event event = { EPOLLIN, { .u32 = 7 } };
	int set = epoll_create1(0);
	CHECK(!epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) && epoll_wait(set, &event, 1, 0) == 1 && event.data.u32 == 7 && event.events == EPOLLIN);
	CHECK(!epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL) && !close(set));
	struct stat st;
	CHECK(!fstat(fd, &st) && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0444 && !close(fd));
	/* what is only looked at is the host's */
	CHECK((fd = open("/proc/self/mountinfo", O_PATH)) >= 0 && !close(fd) && !stat("/proc/self/mountinfo", &st) && st.st_size == 0);
	FAILS(open("/proc/self/mountinfo", O_RDONLY | O_DIRECTORY), ENOTDIR);
}

/* The host's mounts change: whoever waits is told, also beside a file of the directory. */
static void changes(void)
{
	pid_t child = fork();
	if (!child) {
		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
			_exit(0);
		int fd = open("/proc/self/mounts", O_RDONLY), pipes[2];
		struct pollfd both[2] = { { fd, POLLPRI, 0 }, { .events = POLLIN } };
		CHECK(fd >= 0 && !mkfifo(at(D, "beside"), 0600) && (both[1].fd = open(at(D, "beside"), O_RDWR)) >= 0 && !pipe(pipes));
		CHECK(poll(both, 1, 0) == 0 && poll(both, 2, 0) == 0);
		CHECK(!mkdir(at(H, "under"), 0700) && !mount("none", at(H, "under"), "tmpfs", 0, NULL));
		CHECK(poll(both, 1, 1000) == 1 && both[0].revents == (POLLPRI | POLLERR) && poll(both, 1, 0) == 0);
		CHECK(!umount(at(H, "under")) && poll(both, 2, 1000) == 1 && both[0].revents == (POLLPRI | POLLERR));
		CHECK(!close(fd) && dup2(pipes[0], fd) == fd && poll(both, 1, 0) == 0);
		_exit(!unlink(at(D, "beside")) && !rmdir(at(H, "under")) ? 0 : 1);
	}
	CHECK(status_of(child) == 0);
}

/* A member's table, as another one reads it; and under a limit. */
static void others(void)
{
	char path[64];
	int ready[2], byte;
	CHECK(!pipe(ready));
	pid_t child = fork();
	if (!child) {
		close(ready[1]);
		_exit(read(ready[0], &byte, 1));
	}
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", child);
	CHECK(has_line(path, 4) && !close(ready[0]) && !close(ready[1]) && status_of(child) == 0);
	struct rlimit limit, was;
	CHECK(!getrlimit(RLIMIT_FSIZE, &was));
	limit = was;
	limit.rlim_cur = 0;
	CHECK(!setrlimit(RLIMIT_FSIZE, &limit) && has_line("/proc/mounts", 1) && !setrlimit(RLIMIT_FSIZE, &was));
}

static int check(void)
{
	names();
	info();
	reads();
	changes();
	others();
	return 0;
}
