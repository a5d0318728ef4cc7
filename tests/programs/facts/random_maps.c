/* SPDX-License-Identifier: GPL-2.0-only */
/* Random reads, writes, stores into mappings, cuts and holes of one file, against a copy in memory (in the manner of fsx). */
#include "fact.h"

#define PAGE 4096UL
#define MOST (150 * PAGE)
#define MAPS 4

static unsigned char model[MOST], buf[MOST];
static size_t size;
static int fd;
static struct { unsigned char *at; size_t from, len; int shared; } maps[MAPS];
static unsigned long state;

static unsigned long rnd(unsigned long below)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (state >> 33) % below;
}

static void unmap(int i)
{
	if (maps[i].at)
		CHECK(!munmap(maps[i].at, maps[i].len));
	maps[i].at = NULL;
}

static void map(int i)
{
	size_t from = rnd(MOST / PAGE) * PAGE, len = (1 + rnd((MOST - from) / PAGE)) * PAGE;

	unmap(i);
	maps[i].shared = rnd(4) != 0;
	maps[i].at = mmap(NULL, len, PROT_READ | PROT_WRITE, maps[i].shared ? MAP_SHARED : MAP_PRIVATE, fd, from);
	maps[i].from = from;
	maps[i].len = len;
	CHECK(maps[i].at != MAP_FAILED);
}

/* a part of a mapping that lies in the file; 0: there is none */
static size_t part(int i, size_t *at)
{
	if (!maps[i].at || maps[i].from >= size)
		return 0;
	size_t room = size - maps[i].from < maps[i].len ? size - maps[i].from : maps[i].len;
	*at = rnd(room);
	size_t n = 1 + rnd(room - *at);
	return rnd(3) ? (n > 9000 ? 9000 : n) : n;
}

static void compare(const unsigned char *got, size_t from, size_t n, const char *how)
{
	for (size_t i = 0; i < n; i++)
		if (got[i] != model[from + i]) {
			printf("seed %s: %s: byte %zu (page %zu + %zu) is %#x, not %#x; size %zu\n", getenv("SEED"), how, from + i,
			       (from + i) / PAGE, (from + i) % PAGE, got[i], model[from + i], size);
			fflush(stdout);
			_exit(1);
		}
}

static void new_size(size_t n)
{
	if (n < size)
		memset(model + n, 0, size - n);
	size = n;
}

static void step(void)
{
	int i = rnd(MAPS);
	size_t at, n;

	switch (rnd(16)) {
	case 0:
		map(i);
		break;
	case 1:
		unmap(i);
		break;
	case 2: case 3: case 4:
		n = part(i, &at);
		if (n && maps[i].shared) {
			memset(buf, rnd(256), n);
			memcpy(maps[i].at + at, buf, n);
			memcpy(model + maps[i].from + at, buf, n);
		}
		break;
	case 5: case 6: case 7:
		n = part(i, &at);
		if (n && maps[i].shared)
			compare(maps[i].at + at, maps[i].from + at, n, "mapped");
		break;
	case 8: case 9:
		at = rnd(MOST - 1);
		n = 1 + rnd(MOST - at > 20000 ? 20000 : MOST - at);
		memset(buf, rnd(256), n);
		CHECK(pwrite(fd, buf, n, at) == (ssize_t)n);
		memcpy(model + at, buf, n);
		if (at + n > size)
			new_size(at + n);
		break;
	case 10:
		CHECK(pread(fd, buf, MOST, 0) == (ssize_t)size);
		compare(buf, 0, size, "read");
		break;
	case 11:
		n = rnd(MOST);
		CHECK(!ftruncate(fd, n));
		new_size(n);
		break;
	case 12:
		at = rnd(MOST - 1);
		n = 1 + rnd(MOST - at);
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, n)) {
			int why = errno;
			CHECK(why == EOPNOTSUPP);
			break;
		}
		if (at < size)
			memset(model + at, 0, at + n > size ? size - at : n);
		break;
	case 13:
		if (maps[i].at)
			CHECK(!msync(maps[i].at, maps[i].len, rnd(2) ? MS_SYNC : MS_ASYNC));
		break;
	case 14:
		CHECK(rnd(4) ? !fdatasync(fd) : !fsync(fd));
		if (rnd(4) == 0)
			sync();
		break;
	case 15:
		/* from a mapping to the file, and back */
		n = part(i, &at);
		if (n && maps[i].shared) {
			size_t to = rnd(MOST - n);
			memcpy(buf, model + maps[i].from + at, n);
			if (to + n <= maps[i].from + at || to >= maps[i].from + at + n) {
				CHECK(pwrite(fd, maps[i].at + at, n, to) == (ssize_t)n);
				memcpy(model + to, buf, n);
				if (to + n > size)
					new_size(to + n);
			}
			if (maps[i].at && rnd(3) == 0)
				CHECK(!madvise(maps[i].at, maps[i].len, MADV_DONTNEED));
		}
		break;
	}
}

static int check(void)
{
	char *seed = getenv("SEED"), *steps = getenv("STEPS");

	state = seed ? strtoul(seed, NULL, 10) * 0x9e3779b97f4a7c15UL + 1 : 1;
	fd = open(at(D, "random_maps"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0);
	for (int i = 0; i < (steps ? atoi(steps) : 3000); i++)
		step();
	for (int i = 0; i < MAPS; i++)
		unmap(i);
	CHECK(pread(fd, buf, MOST, 0) == (ssize_t)size);
	compare(buf, 0, size, "at the end");
	CHECK(!close(fd));
	return 0;
}
