/* SPDX-License-Identifier: GPL-2.0-only */
/* openat2's RESOLVE_ flags in a random tree of links, whose ends lie in the directory, on the host, or on the way from
 * one to the other. SEED chooses the tree. Each result is printed: the two sides must print the same. */
#include "fact.h"
#include <linux/openat2.h>

static uint32_t state;

static uint32_t any(uint32_t below)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % below;
}

#define OF(list) list[any(sizeof(list) / sizeof(list[0]))]

static const char *const names[] = { "a", "b", "l", "m", "s/a", "s/b", "s/l", "s/m", "s/t/a", "s/t/l" };
static char room[PATH_MAX];

/* A random path of up to four pieces. */
static const char *path(int is_target)
{
	static char text[PATH_MAX * 2];
	static const char *const pieces[] = { "..", ".", "a", "b", "l", "m", "s", "s/t", "t", "s/l", "../s", "../../d", "../h", "d", "h" };
	int n = 1 + any(4);

	text[0] = 0;
	switch (any(is_target ? 5 : 6)) {
	case 0: snprintf(text, sizeof text, "%s/", any(2) ? D : H); break;
	case 1: strcpy(text, any(2) ? "/" : room); break;
	}
	for (int i = 0; i < n; i++) {
		strcat(text, OF(pieces));
		if (i + 1 < n || !any(8))
			strcat(text, "/");
	}
	return text;
}

static void tree(const char *root)
{
	char place[PATH_MAX];

	mkdir(at(root, "s"), 0755);
	mkdir(at(root, "s/t"), 0755);
	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(place, sizeof place, "%s", at(root, names[i]));
		if (strchr("lm", names[i][strlen(names[i]) - 1])) {
			CHECK(!symlink(path(1), place));
		} else {
			int fd = open(place, O_CREAT | O_EXCL | O_WRONLY, 0644);
			CHECK(fd >= 0);
			CHECK(dprintf(fd, "%c:%s", root == D ? 'D' : 'H', names[i]) > 0);
			close(fd);
		}
	}
}

static void show(const char *from, const char *text, uint64_t flags, uint64_t resolve, int fd)
{
	struct stat st;
	char got[64] = "";

	printf("%s %s %lo %lx: ", from, text, (long)flags, (long)resolve);
	if (fd < 0) {
		printf("errno %d\n", errno);
		return;
	}
	CHECK(!fstat(fd, &st));
	if (S_ISREG(st.st_mode) && !(flags & O_PATH) && (flags & O_ACCMODE) != O_WRONLY)
		CHECK(pread(fd, got, sizeof got - 1, 0) >= 0);
	printf("%o %s\n", st.st_mode & S_IFMT, got);
	close(fd);
}

/* EAGAIN: somebody renamed or mounted something on this machine meanwhile; openat2(2) says to try again. */
static long opened(int base, const char *text, const void *how, unsigned long size)
{
	long fd;

	for (int i = 0; i < 1000; i++)
		if ((fd = syscall(SYS_openat2, base, text, how, size)) >= 0 || errno != EAGAIN)
			break;
	return fd;
}

static int check(void)
{
	static const uint64_t opens[] = { O_RDONLY, O_RDONLY, O_RDONLY, O_RDWR, O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY | O_NOFOLLOW, O_RDONLY | O_DIRECTORY,
		O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL };
	static const uint64_t resolves[] = { RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
		RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_BENEATH | RESOLVE_IN_ROOT, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS, 0, 1 << 20 };
	const char *const bases[] = { "D", "H", "D/s", "H/s", "D/s/t", "R", "/", "." };
	int fds[8];

	state = atoi(getenv("SEED"));
	/* The directory that has both. */
	snprintf(room, sizeof room, "%s", D);
	*(strrchr(room, '/') + 1) = 0;
	tree(D);
	tree(H);
	CHECK(!chdir(any(2) ? D : H));
	for (int i = 0; i < 8; i++) {
		const char *base = bases[i], *where = base[0] == 'D' ? at(D, base + 1) : base[0] == 'H' ? at(H, base + 1) : base[0] == 'R' ? room : base;
		fds[i] = base[0] == '.' ? AT_FDCWD : open(where, O_PATH | O_DIRECTORY);
		CHECK(fds[i] >= 0 || fds[i] == AT_FDCWD);
	}
	for (int i = 0; i < 400; i++) {
		struct { struct open_how how; uint64_t more; } how = { .how = { .flags = OF(opens), .resolve = OF(resolves) } };
		int base = any(8), larger = any(8);
		const char *text = path(0);
		char down[PATH_MAX * 3];

		/* From above, the way leads down by the directory's own name. */
		if ((base == 5 || base == 6) && any(4)) {
			snprintf(down, sizeof down, "%s%s", base == 6 ? (any(2) ? D : H) + 1 : any(2) ? strrchr(D, '/') + 1 : strrchr(H, '/') + 1, any(2) ? "/" : "/s/");
			if (text[0] != '/')
				text = strcat(down, text);
		}
		/* Nothing is made outside of the directories. */
		if (!(how.how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) || base == 6)
			how.how.flags &= ~(uint64_t)(O_CREAT | O_EXCL);
		if (how.how.flags & O_CREAT)
			how.how.mode = 0644;
		how.more = larger == 1;
		show(bases[base], text == down ? "down" : text, how.how.flags, how.how.resolve, opened(fds[base], text, &how, larger < 4 ? sizeof how : sizeof how.how));
	}
	return 0;
}
