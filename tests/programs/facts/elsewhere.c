/* SPDX-License-Identifier: GPL-2.0-only */
/* The current directory is in a mount: no call by a relative name reaches the host's directory that the program was started
 * in, which has files of the same names. */
#include "fact.h"
#include <sys/mount.h>

#define SYS_SETXATTRAT 463
#define SYS_FILE_GETATTR 468
struct value { uint64_t value; uint32_t size, flags; uint64_t more; };

/* Where the host has this process, as another process sees it. */
static void host_is_nowhere(void)
{
	char path[64], target[PATH_MAX];
	int status;

	snprintf(path, sizeof path, "/proc/%d/cwd", getpid());
	pid_t child = fork();
	if (!child) {
		ssize_t n = readlink(path, target, sizeof target - 1);
		target[n < 0 ? 0 : n] = 0;
		_exit(strstr(target, " (deleted)") ? 0 : 1);
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	CHECK(status == 0);
}

static void attributes(int dir, const char *name)
{
	struct value set = { (uintptr_t)"here", 4 }, get = { 0 };
	char got[64] = "";

	get.value = (uintptr_t)got, get.size = sizeof got;
	CHECK(!syscall(SYS_SETXATTRAT, dir, name, 0, "user.t", &set, 16));
	CHECK(getxattr(at(D, "victim"), "user.t", got, sizeof got) == 4);
	CHECK(syscall(SYS_SETXATTRAT + 1, dir, name, 0, "user.t", &get, sizeof get) == 4 && !memcmp(got, "here", 4));
	CHECK(syscall(SYS_SETXATTRAT + 2, dir, name, 0, got, sizeof got) == 7 && !strcmp(got, "user.t"));
	set.flags = XATTR_CREATE;
	FAILS(syscall(SYS_SETXATTRAT, dir, name, 0, "user.t", &set, 16), EEXIST);
	CHECK(!syscall(SYS_SETXATTRAT + 3, dir, name, 0, "user.t"));
	FAILS(syscall(SYS_SETXATTRAT + 1, dir, name, 0, "user.t", &get, 16), ENODATA);
	FAILS(syscall(SYS_SETXATTRAT, dir, name, 0, "user.t", &set, 8), EINVAL);
	set.more = 1;
	FAILS(syscall(SYS_SETXATTRAT, dir, name, 0, "user.t", &set, 24), E2BIG);
}

static void refused(const char *name)
{
	uint64_t any[8] = { 0 };
	int fd = AT_FDCWD;

	FAILS(syscall(SYS_FILE_GETATTR, fd, name, any, 24, 0), ENOSYS);
	FAILS(syscall(SYS_FILE_GETATTR + 1, fd, name, any, 24, 0), ENOSYS);
	FAILS(syscall(467, fd, name, 1, any, 32), ENOSYS);
	FAILS(syscall(SYS_open_tree, fd, name, 0), ENOSYS);
	FAILS(syscall(SYS_fspick, fd, name, 0), ENOSYS);
	FAILS(syscall(SYS_mount_setattr, fd, name, 0, any, 32), ENOSYS);
	FAILS(syscall(SYS_move_mount, fd, "/proc", fd, name, 0), ENOSYS);
	FAILS(syscall(SYS_move_mount, fd, name, fd, "/proc", 0), ENOSYS);
	FAILS(syscall(SYS_fanotify_mark, -1, 1, 1UL, fd, name), ENOSYS);
	FAILS(syscall(SYS_mount, "none", name, "no such type", 0, NULL), ENOSYS);
	FAILS(umount(name), ENOSYS);
	FAILS(syscall(SYS_pivot_root, name, name), ENOSYS);
	FAILS(syscall(SYS_quotactl, 0x800007 << 8, name, 0, any), ENOSYS);
	FAILS(syscall(SYS_swapon, name, 0), ENOSYS);
	FAILS(syscall(SYS_swapoff, name), ENOSYS);
	/* this one is made there, and the name is a file */
	FAILS(chroot(name), ENOTDIR);
	FAILS(syscall(SYS_acct, name), ENOSYS);
}

static int check(void)
{
	struct stat st;
	char got[64];

	CHECK(!close(open(at(H, "victim"), O_CREAT | O_RDWR, 0644)));
	CHECK(!close(open("here", O_CREAT | O_RDWR, 0644)) && !stat(at(H, "here"), &st));
	CHECK(!symlink(D, at(H, "way")));
	CHECK(!chdir(D));
	int dir = open(".", O_RDONLY);
	CHECK(dir >= 0 && !close(open("victim", O_CREAT | O_RDWR, 0644)));
	host_is_nowhere();
	attributes(AT_FDCWD, "victim");
	attributes(dir, "victim");
	attributes(AT_FDCWD, at(D, "victim"));
	attributes(AT_FDCWD, at(H, "way/victim"));
	refused("victim");
	refused(at(D, "victim"));
	refused(at(H, "way/victim"));
	FAILS(syscall(500, "victim"), ENOSYS);
	CHECK(getxattr(at(H, "victim"), "user.t", got, sizeof got) < 0);
	/* The host's files are as far away as ever. */
	CHECK(!chdir("..") && !chdir(H) && !stat("victim", &st) && !stat("here", &st));
	CHECK(!chdir(D) && !fchdir(dir) && !stat("../h/here", &st));
	host_is_nowhere();
	CHECK(!chdir("../h") && !stat("here", &st));
	return 0;
}
