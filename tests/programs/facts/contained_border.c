/* SPDX-License-Identifier: GPL-2.0-only */
/* openat2's RESOLVE_ flags where the directory is a mount: none of these may be opened, for reading or writing. */
#include "fact.h"
#include <linux/openat2.h>

static long open_how(int dir, const char *path, uint64_t flags, uint64_t resolve, size_t size)
{
	struct { struct open_how how; uint64_t more[3]; } how = { .how = { .flags = flags, .resolve = resolve, .mode = flags & O_CREAT ? 0600 : 0 } };

	return syscall(SYS_openat2, dir, path, &how, size);
}

#define REFUSED(dir, path, flags, resolve, why) FAILS(open_how(dir, path, flags, resolve, sizeof(struct open_how)), why)
#define OPENED(dir, path, flags, resolve) CHECK(!close(open_how(dir, path, flags, resolve, sizeof(struct open_how))))

static int check(void)
{
	struct stat of_dir, of_host;
	char text[PATH_MAX], room[PATH_MAX], name[NAME_MAX], number[64];

	CHECK(!stat(D, &of_dir) && !stat(H, &of_host));
	int is_mount = of_dir.st_dev != of_host.st_dev || getenv("STOWAWAY_MOUNT");
	CHECK(!mkdir(at(D, "jail"), 0755) && !mkdir(at(H, "jail"), 0755));
	int in = open(at(D, "jail"), O_PATH | O_DIRECTORY), out = open(at(H, "jail"), O_PATH | O_DIRECTORY);
	CHECK(in >= 0 && out >= 0);
	CHECK(!close(open(at(D, "secret"), O_CREAT | O_RDWR, 0600)) && !close(open(at(H, "secret"), O_CREAT | O_RDWR, 0600)));
	CHECK(!close(open(at(D, "jail/own"), O_CREAT | O_RDWR, 0600)));
	CHECK(!symlinkat("../secret", in, "up") && !symlinkat("own", in, "beside"));
	CHECK(!symlinkat(at(H, "secret"), in, "host") && !symlinkat(at(D, "secret"), in, "absolute"));
	CHECK(!symlinkat(at(D, "secret"), out, "mount") && !symlinkat("/proc/self/fd", in, "magic"));

	for (int dirs = 0; dirs < 2; dirs++) {
		int dir = dirs ? out : in;
		REFUSED(dir, "../secret", O_RDONLY, RESOLVE_BENEATH, EXDEV);
		REFUSED(dir, "../new", O_RDWR | O_CREAT, RESOLVE_BENEATH, EXDEV);
		REFUSED(dir, at(D, "secret"), O_RDONLY, RESOLVE_BENEATH, EXDEV);
		REFUSED(dir, at(H, "secret"), O_RDONLY, RESOLVE_BENEATH, EXDEV);
		REFUSED(dir, at(D, "secret"), O_RDONLY, RESOLVE_IN_ROOT, ENOENT);
		REFUSED(dir, "../../../secret", O_RDONLY, RESOLVE_IN_ROOT, ENOENT);
	}
	REFUSED(in, "up", O_RDWR, RESOLVE_BENEATH, EXDEV);
	REFUSED(in, "absolute", O_RDWR, RESOLVE_BENEATH, EXDEV);
	REFUSED(in, "host", O_RDWR, RESOLVE_BENEATH, EXDEV);
	REFUSED(in, "host", O_RDWR, RESOLVE_NO_SYMLINKS, ELOOP);
	REFUSED(in, "host", O_RDWR | O_CREAT, RESOLVE_IN_ROOT, ENOENT);
	REFUSED(out, "mount", O_RDWR, RESOLVE_BENEATH, EXDEV);
	REFUSED(out, "mount", O_RDWR, RESOLVE_NO_SYMLINKS, ELOOP);
	REFUSED(out, "mount", O_RDWR | O_CREAT, RESOLVE_IN_ROOT, ENOENT);
	OPENED(in, "beside", O_RDWR, RESOLVE_BENEATH);
	OPENED(in, "../../beside", O_RDWR, RESOLVE_IN_ROOT);
	OPENED(out, "mount", O_RDWR, RESOLVE_NO_MAGICLINKS);
	OPENED(in, "host", O_RDWR, RESOLVE_NO_MAGICLINKS);

	/* The links of /proc. */
	int file = open(at(D, "secret"), O_RDWR);
	snprintf(number, sizeof number, "/proc/self/fd/%d", file);
	OPENED(AT_FDCWD, number, O_RDWR, 0);
	REFUSED(AT_FDCWD, number, O_RDWR, RESOLVE_NO_MAGICLINKS, ELOOP);
	REFUSED(AT_FDCWD, number, O_RDWR, RESOLVE_NO_SYMLINKS, ELOOP);
	snprintf(number, sizeof number, "magic/%d", file);
	OPENED(in, number, O_RDWR, 0);
	REFUSED(in, number, O_RDWR, RESOLVE_NO_MAGICLINKS, ELOOP);
	REFUSED(in, number, O_RDWR, RESOLVE_BENEATH, EXDEV);

	/* From above, down into the directory. */
	snprintf(room, sizeof room, "%s", D);
	snprintf(name, sizeof name, "%s", strrchr(room, '/') + 1);
	*strrchr(room, '/') = 0;
	int above = open(room, O_PATH | O_DIRECTORY), root = open("/", O_PATH | O_DIRECTORY);
	snprintf(text, sizeof text, "%s/secret", name);
	OPENED(above, text, O_RDWR, RESOLVE_BENEATH);
	OPENED(root, at(D, "secret"), O_RDWR, RESOLVE_IN_ROOT);
	OPENED(root, at(D, "jail/absolute"), O_RDWR, RESOLVE_IN_ROOT);
	REFUSED(root, at(D, "jail/absolute") + 1, O_RDWR, RESOLVE_BENEATH, EXDEV);
	snprintf(text, sizeof text, "%s/../%s/jail/up", name, name);
	OPENED(above, text, O_RDWR, RESOLVE_BENEATH);
	REFUSED(above, text, O_RDWR, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, ELOOP);
	snprintf(text, sizeof text, "%s/../../x", name);
	REFUSED(above, text, O_RDWR | O_CREAT, RESOLVE_BENEATH, EXDEV);

	if (is_mount) {
		snprintf(text, sizeof text, "%s/secret", name);
		REFUSED(above, text, O_RDWR, RESOLVE_NO_XDEV, EXDEV);
		REFUSED(above, text, O_RDWR, RESOLVE_BENEATH | RESOLVE_NO_XDEV, EXDEV);
		REFUSED(above, name, O_PATH, RESOLVE_NO_XDEV, EXDEV);
		REFUSED(AT_FDCWD, at(D, "secret"), O_RDWR, RESOLVE_NO_XDEV, EXDEV);
		REFUSED(AT_FDCWD, D, O_PATH, RESOLVE_NO_XDEV, EXDEV);
		REFUSED(in, "host", O_RDWR, RESOLVE_NO_XDEV, EXDEV);
		REFUSED(in, "../../x", O_RDWR | O_CREAT, RESOLVE_NO_XDEV, EXDEV);
		REFUSED(out, "mount", O_RDWR, RESOLVE_NO_XDEV, EXDEV);
		OPENED(in, "../secret", O_RDWR, RESOLVE_NO_XDEV);
	}

	/* The structure may be larger than what is known of it, if the rest is zero. */
	for (int dirs = 0; dirs < 2; dirs++) {
		const char *path = dirs ? "../jail" : "own";
		CHECK(!close(open_how(in, path, O_RDONLY, 0, sizeof(struct open_how) + 8)));
		CHECK(!close(open_how(in, path, O_RDONLY, 0, sizeof(struct open_how) + 17)));
		FAILS(open_how(in, path, O_RDONLY, 0, sizeof(struct open_how) - 1), EINVAL);
	}
	uint64_t tail[4] = { O_RDONLY, 0, 0, 1 };
	FAILS(syscall(SYS_openat2, in, "own", tail, sizeof tail), E2BIG);
	FAILS(syscall(SYS_openat2, in, "own", NULL, sizeof tail), EFAULT);
	REFUSED(in, "own", O_RDONLY, 1 << 20, EINVAL);
	REFUSED(in, "own", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT, EINVAL);
	/* What is not in memory is EAGAIN; what is found at once is opened. */
	REFUSED(in, "made", O_RDWR | O_CREAT, RESOLVE_CACHED, EAGAIN);
	long cached = open_how(in, "own", O_RDONLY, RESOLVE_CACHED, sizeof(struct open_how));
	CHECK(cached >= 0 || errno == EAGAIN);
	return 0;
}
