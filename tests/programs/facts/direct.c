/* SPDX-License-Identifier: GPL-2.0-only */
/* O_DIRECT: aligned transfers go past the page cache, and agree with it; others fail as the file system has it. */
#include "fact.h"
#include <linux/stat.h>

#define BLOCK 4096
#define LEN (9 << 20)

static char *big, *back;

static void fill(char *at, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i += sizeof(seed)) {
		seed = seed * 1103515245 + 12345;
		memcpy(at + i, &seed, sizeof(seed));
	}
}

/* What of the file is in the page cache, as a mapping sees it. */
static int cached(int fd, size_t len)
{
	unsigned char core[LEN / BLOCK];
	char *at = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	int n = 0;

	CHECK(at != MAP_FAILED && !mincore(at, len, core) && !munmap(at, len));
	for (size_t i = 0; i < len / BLOCK; i++)
		n += core[i] & 1;
	return n;
}

static void long_transfers(int direct, int plain)
{
	fill(big, LEN, 1);
	CHECK(write(direct, big, LEN) == LEN && lseek(direct, 0, SEEK_CUR) == LEN);
	CHECK(cached(plain, LEN) == 0);
	CHECK(pread(direct, back, LEN, 0) == LEN && !memcmp(big, back, LEN));
	CHECK(cached(plain, LEN) == 0);
	CHECK(pread(plain, back, LEN, 0) == LEN && !memcmp(big, back, LEN));
	CHECK(lseek(direct, BLOCK, SEEK_SET) == BLOCK && read(direct, back, BLOCK) == BLOCK);
	CHECK(!memcmp(back, big + BLOCK, BLOCK) && lseek(direct, 0, SEEK_CUR) == 2 * BLOCK);
}

/* What the one writes the other reads, whatever is in the page cache. */
static void agreement(int direct, int plain)
{
	CHECK(pread(plain, back, 4 * BLOCK, 0) == 4 * BLOCK);
	fill(big, 4 * BLOCK, 2);
	CHECK(pwrite(direct, big, 4 * BLOCK, 0) == 4 * BLOCK);
	CHECK(pread(plain, back, 4 * BLOCK, 0) == 4 * BLOCK && !memcmp(big, back, 4 * BLOCK));
	fill(big, 4 * BLOCK, 3);
	CHECK(pwrite(plain, big, 4 * BLOCK, 0) == 4 * BLOCK);
	CHECK(pread(direct, back, 4 * BLOCK, 0) == 4 * BLOCK && !memcmp(big, back, 4 * BLOCK));
	char *map = mmap(NULL, 4 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, plain, 0);
	CHECK(map != MAP_FAILED);
	map[5] = 'm';
	CHECK(pread(direct, back, BLOCK, 0) == BLOCK && back[5] == 'm');
	fill(big, BLOCK, 4);
	CHECK(pwrite(direct, big, BLOCK, 0) == BLOCK && !memcmp(map, big, BLOCK));
	/* from a mapping of the file, and into one */
	CHECK(pwrite(direct, map + BLOCK, BLOCK, 8 * BLOCK) == BLOCK);
	CHECK(pread(direct, map + 2 * BLOCK, BLOCK, 8 * BLOCK) == BLOCK);
	CHECK(!memcmp(map + 2 * BLOCK, map + BLOCK, BLOCK) && !munmap(map, 4 * BLOCK));
}

static void parts(int direct)
{
	struct iovec to[3] = { { big, BLOCK }, { big + 3 * BLOCK, 2 * BLOCK }, { big + 8 * BLOCK, 512 } };

	fill(back, 4 * BLOCK, 5);
	CHECK(pwrite(direct, back, 4 * BLOCK, 0) == 4 * BLOCK);
	CHECK(preadv(direct, to, 3, 0) == 3 * BLOCK + 512);
	CHECK(!memcmp(big, back, BLOCK) && !memcmp(big + 3 * BLOCK, back + BLOCK, 2 * BLOCK));
	CHECK(!memcmp(big + 8 * BLOCK, back + 3 * BLOCK, 512));
	CHECK(pwritev(direct, to, 2, 16 * BLOCK) == 3 * BLOCK);
	CHECK(pread(direct, big, 3 * BLOCK, 16 * BLOCK) == 3 * BLOCK && !memcmp(big, back, 3 * BLOCK));
}

static void the_end_of_the_file(int direct, int plain)
{
	struct stat st;

	CHECK(!ftruncate(plain, 3 * BLOCK + 100) && pread(direct, back, 4 * BLOCK, 0) == 3 * BLOCK + 100);
	CHECK(pread(direct, back, BLOCK, 3 * BLOCK) == 100 && pread(direct, back, BLOCK, 4 * BLOCK) == 0);
	CHECK(pwrite(direct, big, BLOCK, 10 * BLOCK) == BLOCK && !fstat(plain, &st) && st.st_size == 11 * BLOCK);
	/* a hole */
	CHECK(pread(direct, back, BLOCK, 6 * BLOCK) == BLOCK);
	for (int i = 0; i < BLOCK; i++)
		CHECK(!back[i]);
}

static void errors(int direct)
{
	int flags = fcntl(direct, F_GETFL);

	CHECK(flags & O_DIRECT);
	FAILS(pread(direct, (void *)4096, BLOCK, 0), EFAULT);
	FAILS(pwrite(direct, (void *)4096, BLOCK, 0), EFAULT);
	if (ROLE && !strcmp(ROLE, "falls back")) {
		/* by the page cache */
		CHECK(pread(direct, big + 1, BLOCK, 10) == BLOCK && pwrite(direct, big + 1, BLOCK, 10) == BLOCK);
	} else {
		FAILS(pread(direct, big + 1, BLOCK, 0), EINVAL);
		FAILS(pread(direct, big, 100, 0), EINVAL);
		FAILS(pread(direct, big, BLOCK, 10), EINVAL);
		FAILS(pwrite(direct, big + 1, BLOCK, 0), EINVAL);
		FAILS(pwrite(direct, big, 100, 0), EINVAL);
	}
	/* as any other, once the flag is off */
	CHECK(!fcntl(direct, F_SETFL, flags & ~O_DIRECT) && pread(direct, big + 1, 100, 10) == 100);
	CHECK(!fcntl(direct, F_SETFL, flags) && fcntl(direct, F_GETFL) & O_DIRECT);
}

static void alignment(void)
{
	struct statx stx;

	CHECK(!statx(AT_FDCWD, at(D, "direct"), 0, STATX_DIOALIGN, &stx));
	if (stx.stx_mask & STATX_DIOALIGN)
		CHECK(stx.stx_dio_mem_align && stx.stx_dio_offset_align && stx.stx_dio_offset_align <= BLOCK);
}

/* Processes at a time, which want more memory for their transfers than there is. */
static void many_at_a_time(int plain)
{
	enum { PROCESSES = 16, TURNS = 4 };
	pid_t children[PROCESSES];

	fill(back, LEN, 7);
	CHECK(pwrite(plain, back, LEN, 0) == LEN);
	for (int n = 0; n < PROCESSES; n++) {
		children[n] = fork();
		CHECK(children[n] >= 0);
		if (children[n])
			continue;
		int fd = open(at(D, "direct"), O_RDONLY | O_DIRECT);
		CHECK(fd >= 0);
		for (int turn = 0; turn < TURNS; turn++)
			CHECK(pread(fd, big, LEN, 0) == LEN && !memcmp(big, back, LEN));
		_exit(0);
	}
	for (int n = 0; n < PROCESSES; n++)
		CHECK(status_of(children[n]) == 0);
}

static int check(void)
{
	int direct = open(at(D, "direct"), O_CREAT | O_TRUNC | O_RDWR | O_DIRECT, 0600);
	int plain = open(at(D, "direct"), O_RDWR);

	CHECK(direct >= 0 && plain >= 0);
	CHECK(!posix_memalign((void **)&big, BLOCK, LEN + BLOCK) && !posix_memalign((void **)&back, BLOCK, LEN + BLOCK));
	long_transfers(direct, plain);
	agreement(direct, plain);
	parts(direct);
	the_end_of_the_file(direct, plain);
	errors(direct);
	alignment();
	if (!ROLE)
		many_at_a_time(plain);
	return 0;
}
