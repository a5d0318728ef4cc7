/* SPDX-License-Identifier: GPL-2.0-only */
/* Long reads of files that are on the disk, in the page cache, partly both, or nowhere: the bytes are right, whoever writes,
 * cuts or maps meanwhile. */
#include "fact.h"

enum { PAGE = 4096, BLOCKS = 512, LEN = BLOCKS * PAGE, LONG = 256 << 10 };

static unsigned char *expected, *got;

static void fill(unsigned char *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		p[i] = seed >> 16;
	}
}

/* The file is on the disk, and nowhere else. */
static void let_go(int fd)
{
	CHECK(!fsync(fd));
	CHECK(!posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
}

/* Reads all of the file by pieces of `piece` bytes, from `from` on. */
static void compare(int fd, off_t from, size_t piece, off_t end)
{
	for (off_t at = from; at < end; ) {
		size_t want = end - at < (off_t)piece ? end - at : (off_t)piece;

		memset(got, 0x5a, piece);
		CHECK(pread(fd, got, piece, at) == (ssize_t)want);
		CHECK(!memcmp(got, expected + at, want));
		at += want;
	}
	CHECK(pread(fd, got, piece, end) == 0);
}

/* The same from the end to the start: nothing is read ahead. */
static void compare_backwards(int fd, size_t piece, off_t end)
{
	for (off_t at = (end - 1) / piece * piece; at >= 0; at -= piece) {
		ssize_t want = end - at < (off_t)piece ? end - at : (off_t)piece;

		memset(got, 0x5a, piece);
		CHECK(pread(fd, got, piece, at) == want);
		CHECK(!memcmp(got, expected + at, want));
	}
}

static void compare_all(int fd, off_t end)
{
	static const size_t pieces[] = { 32 << 10, 100001, LONG, LEN };

	for (size_t n = 0; n < sizeof(pieces) / sizeof(*pieces); n++) {
		let_go(fd);
		compare(fd, 0, pieces[n], end);
		let_go(fd);
		compare(fd, 1, pieces[n], end);
		let_go(fd);
		compare_backwards(fd, pieces[n], end);
	}
}

/* On the disk, and then dirty or clean pages amid it. */
static void cached_in_parts(int fd)
{
	fill(expected, LEN, 1);
	CHECK(pwrite(fd, expected, LEN, 0) == LEN);
	compare_all(fd, LEN);
	for (int block = 3; block < BLOCKS; block += 37) {
		fill(expected + block * PAGE + 100, 5000, block);
		CHECK(pwrite(fd, expected + block * PAGE + 100, 5000, block * PAGE + 100) == 5000);
	}
	compare(fd, 0, LONG, LEN);
	compare_all(fd, LEN);
	/* clean pages */
	for (int block = 5; block < BLOCKS; block += 41)
		CHECK(pread(fd, got, PAGE, block * PAGE) == PAGE);
	compare(fd, 0, LONG, LEN);
}

/* Holes, blocks that were never written, and an end amid a page. */
static void holes(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	off_t end = LEN - 1234;

	CHECK(fd >= 0);
	memset(expected, 0, LEN);
	fill(expected, 10 * PAGE, 2);
	fill(expected + 300 * PAGE, 90 * PAGE, 3);
	CHECK(pwrite(fd, expected, 10 * PAGE, 0) == 10 * PAGE);
	CHECK(pwrite(fd, expected + 300 * PAGE, 90 * PAGE, 300 * PAGE) == 90 * PAGE);
	CHECK(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 100 * PAGE, 150 * PAGE));
	CHECK(!ftruncate(fd, end));
	compare_all(fd, end);
	/* blocks that have something on the disk, and are not the file's data any more */
	CHECK(!fallocate(fd, FALLOC_FL_ZERO_RANGE, 340 * PAGE, 20 * PAGE));
	memset(expected + 340 * PAGE, 0, 20 * PAGE);
	compare_all(fd, end);
	/* a hole amid what was read before */
	CHECK(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 310 * PAGE, 20 * PAGE));
	memset(expected + 310 * PAGE, 0, 20 * PAGE);
	compare_all(fd, end);
	/* shorter, and longer again: nothing of before shows */
	CHECK(!ftruncate(fd, 320 * PAGE + 77));
	memset(expected + 320 * PAGE + 77, 0, LEN - 320 * PAGE - 77);
	CHECK(!ftruncate(fd, end));
	compare_all(fd, end);
	CHECK(!close(fd));
}

/* Memory that is not there, in part or at all; memory that is a mapping of the same file. */
static void memory_of_all_kinds(int fd)
{
	unsigned char *map, *part;

	fill(expected, LEN, 4);
	CHECK(pwrite(fd, expected, LEN, 0) == LEN);
	let_go(fd);
	FAILS(read(fd, NULL, LONG), EFAULT);
	part = mmap(NULL, LONG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(part != MAP_FAILED && !munmap(part + LONG / 2, LONG / 2));
	ssize_t n = pread(fd, part, LONG, 0);
	CHECK(n > 0 && n <= LONG / 2 && !memcmp(part, expected, n));
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	let_go(fd);
	/* the first half of the file becomes as the second */
	CHECK(pread(fd, map, LEN / 2, LEN / 2) == LEN / 2);
	memcpy(expected, expected + LEN / 2, LEN / 2);
	compare(fd, 0, LONG, LEN);
	CHECK(!munmap(map, LEN));
	compare_all(fd, LEN);
}

/* What is stored by a mapping is read at once. */
static void stores(int fd)
{
	unsigned char *map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(map != MAP_FAILED);
	for (int turn = 0; turn < 20; turn++) {
		let_go(fd);
		int block = (turn * 97) % BLOCKS;
		map[block * PAGE + turn] = expected[block * PAGE + turn] = turn;
		compare(fd, 0, LONG, LEN);
	}
	CHECK(!munmap(map, LEN));
}

static volatile int stop;
static volatile uint64_t written;
static const char *moving;
enum { MOVING = 64 };

/* Each page begins with the turn that it was written in; the bytes behind have their highest bit set. */
static void *writer(void *unused)
{
	int fd = open(moving, O_RDWR);
	unsigned char *pages = malloc(MOVING * PAGE);

	for (uint64_t turn = 1; !stop; turn++) {
		memset(pages, 0x80 | turn, MOVING * PAGE);
		for (int page = 0; page < MOVING; page++)
			memcpy(pages + page * PAGE, &turn, sizeof(turn));
		CHECK(pwrite(fd, pages, MOVING * PAGE, 0) == MOVING * PAGE);
		written = turn;
		if (turn % 3 == 0)
			let_go(fd);
		if (turn % 7 == 0) {
			CHECK(!ftruncate(fd, MOVING * PAGE + 1));
			CHECK(!ftruncate(fd, MOVING * PAGE));
		}
	}
	free(pages);
	close(fd);
	return unused;
}

/* What was written before the read began is there, or what was written later; and nothing that was never in the file. */
static void amid_writes(void)
{
	pthread_t thread;
	int fd = open(moving, O_RDWR | O_CREAT | O_TRUNC, 0644);

	CHECK(fd >= 0);
	CHECK(!pthread_create(&thread, NULL, writer, NULL));
	EVENTUALLY(written);
	for (int n = 0; n < 2000; n++) {
		uint64_t before = written, turn;

		CHECK(pread(fd, got, MOVING * PAGE, 0) == MOVING * PAGE);
		for (int page = 0; page < MOVING; page++) {
			memcpy(&turn, got + page * PAGE, sizeof(turn));
			CHECK(turn >= before && turn < before + 100000);
			for (int at = sizeof(turn); at < PAGE; at++)
				CHECK(got[page * PAGE + at] & 0x80);
		}
	}
	stop = 1;
	CHECK(!pthread_join(thread, NULL));
	close(fd);
}

static int check(void)
{
	expected = malloc(LEN);
	got = malloc(LEN);
	int fd = open(at(D, "long_reads"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && expected && got);
	cached_in_parts(fd);
	holes(at(D, "with_holes"));
	memory_of_all_kinds(fd);
	stores(fd);
	moving = strdup(at(D, "moving"));
	amid_writes();
	CHECK(!close(fd));
	CHECK(!unlink(at(D, "long_reads")) && !unlink(at(D, "with_holes")) && !unlink(moving));
	return 0;
}
