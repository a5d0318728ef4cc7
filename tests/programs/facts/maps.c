/* SPDX-License-Identifier: GPL-2.0-only */
/* Mappings of files: what is stored is what is read, by whichever way and in whichever process; and what is not there is SIGBUS. */
#include "fact.h"

#define PAGE 4096
#define RW (PROT_READ | PROT_WRITE)

static sigjmp_buf back;
static volatile int signal_got, code_got;
static void *volatile address_got;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	signal_got = sig;
	code_got = info->si_code;
	address_got = info->si_addr;
	siglongjmp(back, 1);
}

/* the signal that a read, or a write, of a byte gives; 0: none */
static int touch(volatile char *at, int writes)
{
	signal_got = 0;
	if (!sigsetjmp(back, 1)) {
		if (writes)
			*at = 'w';
		else
			(void)*at;
	}
	return signal_got;
}

static int is_bus(char *at, int writes)
{
	return touch(at, writes) == SIGBUS && code_got == BUS_ADRERR && address_got == at;
}

static int is_segv(char *at, int writes)
{
	return touch(at, writes) == SIGSEGV && address_got == at;
}

/* a file of n bytes, each of which says where it is */
static char byte_at(size_t at) { return (char)(at * 7 + at / PAGE + at / 100003); }

static int patterned(const char *name, size_t n)
{
	int fd = open(at(D, name), O_RDWR | O_CREAT | O_TRUNC, 0644);
	static char buf[65536];

	CHECK(fd >= 0);
	for (size_t done = 0; done < n;) {
		size_t m = n - done < sizeof(buf) ? n - done : sizeof(buf);
		for (size_t i = 0; i < m; i++)
			buf[i] = byte_at(done + i);
		CHECK(write(fd, buf, m) == (ssize_t)m);
		done += m;
	}
	return fd;
}

static int as_written(const char *map, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (map[i] != byte_at(from + i))
			return 0;
	return 1;
}

static void read_only(void)
{
	size_t n = 3 * 1024 * 1024 + 77;
	int fd = patterned("ro", n), ro = open(at(D, "ro"), O_RDONLY);
	char *m = mmap(NULL, n, PROT_READ, MAP_SHARED, ro, 0), *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, ro, 0);
	char *part = mmap(NULL, 5 * PAGE, PROT_READ, MAP_SHARED, ro, 300 * PAGE);

	CHECK(m != MAP_FAILED && p != MAP_FAILED && part != MAP_FAILED);
	close(ro);
	CHECK(m[n - 1] == byte_at(n - 1) && m[n] == 0 && m[(n | (PAGE - 1))] == 0);
	CHECK(as_written(m, 0, n) && as_written(p, 0, n) && as_written(part, 300 * PAGE, 5 * PAGE));
	/* what is written is seen at once */
	CHECK(pwrite(fd, "seen", 4, 300 * PAGE + 10) == 4 && !memcmp(part + 10, "seen", 4) && !memcmp(m + 300 * PAGE + 10, "seen", 4));
	CHECK(is_segv(m, 1) && is_segv(part + PAGE, 1) && is_segv(p, 1));
	FAILS(mprotect(m, n, RW), EACCES);
	CHECK(!mprotect(p, n, RW) && !touch(p, 1) && p[0] == 'w' && m[0] == byte_at(0));
	CHECK(!munmap(m, n) && is_segv(m, 0) && !munmap(p, n) && !munmap(part, 5 * PAGE));
	close(fd);
}

static void errors(void)
{
	int fd = patterned("errors", 2 * PAGE), ro = open(at(D, "errors"), O_RDONLY), wo = open(at(D, "errors"), O_WRONLY);
	int append = open(at(D, "errors"), O_RDWR | O_APPEND), dir = open(D, O_RDONLY), path = open(at(D, "errors"), O_PATH);

	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED, ro, 0) == MAP_FAILED && errno == EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, wo, 0) == MAP_FAILED && errno == EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, dir, 0) == MAP_FAILED && errno == ENODEV);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, path, 0) == MAP_FAILED && errno == EBADF);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 100) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, 0, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x1000000, fd, 0) == MAP_FAILED && errno == EOPNOTSUPP);
	CHECK(mmap((void *)100, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED && errno == EINVAL);
	char *m = mmap(NULL, PAGE, RW, MAP_SHARED, append, 0);
	CHECK(m != MAP_FAILED && !munmap(m, PAGE));
	m = mmap(NULL, 2 * PAGE, RW, MAP_SHARED_VALIDATE, fd, 0);
	CHECK(m != MAP_FAILED && m[5] == byte_at(5));
	CHECK(mmap(m + 1, PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(m, PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == MAP_FAILED && errno == EEXIST);
	FAILS(msync(m + 1, PAGE, MS_SYNC), EINVAL);
	FAILS(msync(m, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
	FAILS(munmap(m + 1, PAGE), EINVAL);
	FAILS(mprotect(m + 1, PAGE, PROT_READ), EINVAL);
	FAILS(madvise(m, PAGE, 12345), EINVAL);
	FAILS(madvise(m, PAGE, MADV_FREE), EINVAL);
	CHECK(!munmap(m, 2 * PAGE));
	FAILS(msync(m, PAGE, MS_SYNC), ENOMEM);
	close(fd), close(ro), close(wo), close(append), close(dir), close(path);
}

static void written(void)
{
	size_t n = 64 * PAGE;
	char buf[64];
	int fd = patterned("written", n);
	char *m = mmap(NULL, n, RW, MAP_SHARED, fd, 0), *other = mmap(NULL, n, RW, MAP_SHARED, fd, 0);

	CHECK(m != MAP_FAILED && other != MAP_FAILED);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < n; i += PAGE)
			m[i + round] = 'a' + (i / PAGE + round) % 26;
		for (size_t i = 0; i < n; i += PAGE)
			CHECK(pread(fd, buf, 1, i + round) == 1 && buf[0] == (char)('a' + (i / PAGE + round) % 26) && other[i + round] == buf[0]);
		CHECK(round == 0 ? !msync(m, n, MS_SYNC) : round == 1 ? !fsync(fd) : !msync(m, n, MS_ASYNC));
		sync();
	}
	CHECK(pwrite(fd, "hello", 5, 7 * PAGE + 4090) == 5 && !memcmp(m + 7 * PAGE + 4090, "hello", 5));
	memcpy(other + 9 * PAGE - 3, "across", 6);
	CHECK(pread(fd, buf, 6, 9 * PAGE - 3) == 6 && !memcmp(buf, "across", 6) && !memcmp(m + 9 * PAGE - 3, "across", 6));
	/* parts are unmapped, protected, mapped over */
	CHECK(!munmap(m + 10 * PAGE, 3 * PAGE) && is_segv(m + 11 * PAGE, 0) && !touch(m + 9 * PAGE, 0) && !touch(m + 13 * PAGE, 1));
	CHECK(!mprotect(m + 20 * PAGE, 2 * PAGE, PROT_READ) && is_segv(m + 20 * PAGE, 1) && !touch(m + 20 * PAGE, 0) && !touch(m + 19 * PAGE, 1));
	CHECK(!mprotect(m + 20 * PAGE, 2 * PAGE, PROT_NONE) && is_segv(m + 21 * PAGE, 0));
	CHECK(!mprotect(m + 20 * PAGE, 2 * PAGE, RW) && !touch(m + 21 * PAGE, 1) && pread(fd, buf, 1, 21 * PAGE) == 1 && buf[0] == 'w');
	CHECK(mmap(m + 30 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == m + 30 * PAGE && m[30 * PAGE] == 0);
	CHECK(mmap(m + 31 * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0) == m + 31 * PAGE && m[31 * PAGE + 50] == m[50]);
	m[31 * PAGE + 50] = '!';
	CHECK(m[50] == '!' && !memcmp(m + 30 * PAGE, "\0\0\0\0", 4) && m[32 * PAGE + 40] == byte_at(32 * PAGE + 40));
	CHECK(!madvise(m, 5 * PAGE, MADV_DONTNEED) && m[50] == '!' && !madvise(m + 40 * PAGE, n - 40 * PAGE, MADV_WILLNEED));
	FAILS(madvise(m, n, MADV_RANDOM), ENOMEM);
	unsigned char vec[64];
	CHECK(!mincore(m, 5 * PAGE, vec) && vec[0] & 1);
	FAILS(mincore(m, n, vec), ENOMEM);
	CHECK(!mlock(m, 4 * PAGE) && !munlock(m, 4 * PAGE));
	CHECK(!munmap(m, n) && !munmap(other, n));
	close(fd);
}

static void ends(void)
{
	char zeroes[PAGE] = "", buf[PAGE];
	int fd = patterned("ends", 2 * PAGE + 100);
	char *m = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, fd, 0), *p = mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE, fd, 0);

	CHECK(m != MAP_FAILED && p != MAP_FAILED);
	CHECK(!memcmp(m + 2 * PAGE + 100, zeroes, PAGE - 100) && is_bus(m + 3 * PAGE, 0) && is_bus(m + 3 * PAGE + 5, 1) && is_bus(m + 8 * PAGE - 1, 0));
	CHECK(is_bus(p + 3 * PAGE, 0) && p[2 * PAGE + 99] == byte_at(2 * PAGE + 99) && p[2 * PAGE + 101] == 0);
	/* behind the end nothing is stored, and nothing appears when the file grows */
	m[2 * PAGE + 200] = 'x';
	CHECK(!ftruncate(fd, 2 * PAGE + 300) && pread(fd, buf, 300, 2 * PAGE) == 300);
	CHECK(!ftruncate(fd, 5 * PAGE) && !touch(m + 3 * PAGE, 0) && !touch(m + 4 * PAGE + 9, 1) && is_bus(m + 5 * PAGE, 1));
	CHECK(pread(fd, buf, 20, 4 * PAGE) == 20 && buf[9] == 'w' && buf[8] == 0);
	/* what is cut off is gone for everybody, and zero when it comes back */
	CHECK(!ftruncate(fd, PAGE + 10) && is_bus(m + 2 * PAGE, 0) && is_bus(m + 4 * PAGE + 9, 0) && m[PAGE + 9] == byte_at(PAGE + 9) && m[PAGE + 10] == 0);
	CHECK(!ftruncate(fd, 5 * PAGE) && !memcmp(m + 2 * PAGE, zeroes, PAGE) && m[4 * PAGE + 9] == 0 && m[PAGE + 10] == 0);
	CHECK(pwrite(fd, "back", 4, 4 * PAGE) == 4 && !memcmp(m + 4 * PAGE, "back", 4));
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * PAGE, 2 * PAGE) == 0)
		CHECK(!memcmp(m + 4 * PAGE, zeroes, PAGE));
	m[4 * PAGE] = 'm';
	CHECK(pread(fd, buf, 1, 4 * PAGE) == 1 && buf[0] == 'm');
	int again = open(at(D, "ends"), O_RDWR | O_TRUNC);
	CHECK(again >= 0 && is_bus(m, 0));
	CHECK(!munmap(m, 8 * PAGE) && !munmap(p, 8 * PAGE));
	close(fd), close(again);
}

static void privates(void)
{
	size_t n = 600 * PAGE;
	char buf[8];
	int fd = patterned("private", n);
	char *p = mmap(NULL, n, RW, MAP_PRIVATE, fd, 0);

	CHECK(p != MAP_FAILED);
	for (size_t i = 0; i < n; i += 37 * PAGE)
		p[i] = 'p';
	for (size_t i = 0; i < n; i += 37 * PAGE)
		CHECK(pread(fd, buf, 1, i) == 1 && buf[0] == byte_at(i) && p[i] == 'p' && as_written(p + i + 1, i + 1, 30 * PAGE < n - i - 1 ? 30 * PAGE : n - i - 1));
	CHECK(!mprotect(p + 100 * PAGE, 100 * PAGE, PROT_READ) && is_segv(p + 111 * PAGE, 1) && p[111 * PAGE] == 'p' && !touch(p + 99 * PAGE, 1));
	CHECK(!mprotect(p + 100 * PAGE, 100 * PAGE, RW) && !touch(p + 112 * PAGE, 1) && p[111 * PAGE] == 'p' && p[112 * PAGE] == 'w');
	CHECK(!madvise(p + 111 * PAGE, 2 * PAGE, MADV_DONTNEED) && p[111 * PAGE] == byte_at(111 * PAGE) && p[112 * PAGE] == byte_at(112 * PAGE));
	char *q = mremap(p, n, 2 * n, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && q[0] == 'p' && q[37 * PAGE] == 'p' && q[n - 1] == byte_at(n - 1) && is_bus(q + n, 0));
	CHECK(mremap(q, 2 * n, n / 2, 0) == q && q[37 * PAGE] == 'p' && is_segv(q + n / 2, 0) && !munmap(q, n / 2));
	close(fd);
}

static void moved(void)
{
	size_t n = 40 * PAGE;
	char buf[8];
	int fd = patterned("moved", n);
	char *m = mmap(NULL, 20 * PAGE, RW, MAP_SHARED, fd, 0), *to, *room;

	m[5] = 'A';
	to = mremap(m, 20 * PAGE, n, MREMAP_MAYMOVE);
	CHECK(to != MAP_FAILED && to[5] == 'A' && to[39 * PAGE] == byte_at(39 * PAGE));
	room = mmap(NULL, 60 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	m = mremap(to + 10 * PAGE, 10 * PAGE, 10 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 7 * PAGE);
	CHECK(m == room + 7 * PAGE && is_segv(to + 10 * PAGE, 0) && to[20 * PAGE] == byte_at(20 * PAGE) && m[3] == byte_at(10 * PAGE + 3));
	m[3] = 'B';
	CHECK(pread(fd, buf, 1, 10 * PAGE + 3) == 1 && buf[0] == 'B' && is_segv(room + 6 * PAGE, 0) && is_segv(room + 17 * PAGE, 0));
	char *twice = mremap(m, 0, 10 * PAGE, MREMAP_MAYMOVE);
	CHECK(twice != MAP_FAILED && twice != m && twice[3] == 'B');
	twice[4] = 'C';
	CHECK(m[4] == 'C');
	CHECK(mremap(to, 20 * PAGE, 20 * PAGE, 0) == to && mremap(to, 20 * PAGE, 25 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
	CHECK(mremap(to, 5 * PAGE, 5 * PAGE, 64) == MAP_FAILED && errno == EINVAL);
	CHECK(!munmap(to, n) && !munmap(room, 60 * PAGE) && !munmap(twice, 10 * PAGE));
	close(fd);
}

/* pointers of calls lead into what has not been touched */
static void pointers(void)
{
	size_t n = 300 * PAGE;
	int fd = patterned("pointers", n), host = open(at(H, "pointers"), O_RDWR | O_CREAT | O_TRUNC, 0644), pipes[2];
	int other = open(at(D, "other"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	char *m = mmap(NULL, n, RW, MAP_SHARED, fd, 0), *p = mmap(NULL, n, RW, MAP_PRIVATE, fd, 0), buf[PAGE];

	CHECK(write(host, m, n) == (ssize_t)n && write(other, p, n) == (ssize_t)n && write(other, m, n) == (ssize_t)n);
	CHECK(!munmap(m, n) && !munmap(p, n));
	m = mmap(NULL, n, RW, MAP_SHARED, fd, 0), p = mmap(NULL, n, RW, MAP_PRIVATE, fd, 0);
	CHECK(pread(host, p, n, 0) == (ssize_t)n && as_written(p, 0, n));
	CHECK(pread(other, m, n, n) == (ssize_t)n && as_written(m, 0, n));
	/* a file onto itself */
	CHECK(pwrite(fd, m + PAGE, 2 * PAGE, 100 * PAGE) == 2 * PAGE && as_written(m + 100 * PAGE, PAGE, 2 * PAGE));
	CHECK(!madvise(m, n, MADV_DONTNEED) && pread(fd, m + 50 * PAGE, 3 * PAGE, 0) == 3 * PAGE && as_written(m + 50 * PAGE, 0, 3 * PAGE));
	CHECK(pwrite(fd, m + 200 * PAGE + 5, PAGE, 200 * PAGE + 5) == PAGE && as_written(m + 200 * PAGE, 200 * PAGE, 2 * PAGE));
	/* structures and names */
	CHECK(!munmap(m, n));
	m = mmap(NULL, n, RW, MAP_SHARED, fd, 0);
	CHECK(!pipe((int *)(m + 9 * PAGE)));
	memcpy(pipes, m + 9 * PAGE, sizeof(pipes));
	CHECK(write(pipes[1], m + 10 * PAGE, 100) == 100 && read(pipes[0], m + 20 * PAGE, 100) == 100 && as_written(m + 20 * PAGE, 10 * PAGE, 100));
	CHECK(!fstat(fd, (struct stat *)(m + 30 * PAGE - 8)) && ((struct stat *)(m + 30 * PAGE - 8))->st_size == (off_t)n);
	CHECK(!fstat(host, (struct stat *)(m + 31 * PAGE - 8)) && ((struct stat *)(m + 31 * PAGE - 8))->st_size == (off_t)n);
	strcpy(m + 40 * PAGE - 3, at(D, "pointers"));
	CHECK(!msync(m, n, MS_SYNC) && !madvise(m, n, MADV_DONTNEED) && !access(m + 40 * PAGE - 3, R_OK));
	CHECK(getcwd(m + 60 * PAGE, PAGE) && m[60 * PAGE] == '/');
	struct iovec *v = (void *)(m + 70 * PAGE - 16);
	struct iovec parts[2] = { { m + 80 * PAGE, 2 * PAGE }, { m + 90 * PAGE, 2 * PAGE } };
	memcpy(v, parts, sizeof(parts));
	CHECK(!madvise(m, n, MADV_DONTNEED) && pwritev(host, v, 2, 0) == 4 * PAGE);
	CHECK(pread(host, buf, PAGE, 2 * PAGE) == PAGE && as_written(buf, 90 * PAGE, PAGE));
	/* behind the end it is EFAULT, as on any host */
	char *end = mmap(NULL, n + 4 * PAGE, RW, MAP_SHARED, fd, 0);
	CHECK(write(pipes[1], end + n, 1) == -1 && errno == EFAULT);
	FAILS(pwrite(fd, end + n + PAGE, 1, 0), EFAULT);
	FAILS(pread(fd, end + n + PAGE, 1, 0), EFAULT);
	CHECK(!munmap(end, n + 4 * PAGE) && !munmap(m, n) && !munmap(p, n));
	close(fd), close(host), close(other), close(pipes[0]), close(pipes[1]);
}

/* the mapping is what is left of the file */
static void nameless(void)
{
	int fd = patterned("nameless", 10 * PAGE);
	char *m = mmap(NULL, 10 * PAGE, RW, MAP_SHARED, fd, 0);

	CHECK(!close(fd) && !unlink(at(D, "nameless")));
	CHECK(as_written(m, 0, 10 * PAGE) && !touch(m + PAGE, 1) && !msync(m, 10 * PAGE, MS_SYNC) && m[PAGE] == 'w' && !munmap(m, 10 * PAGE));
}

/* A call with a pointer into a large mapping takes what the pointer is to, and not all of the mapping. */
static void pointers_into_large_files(void)
{
	enum { PAGES = 2048 };
	static unsigned char before[PAGES], after[PAGES];
	size_t len = PAGES * 4096, more = 0;
	int fd = open(at(D, "large"), O_RDWR | O_CREAT | O_TRUNC, 0644), source = open(HELLO, O_RDONLY);
	char *zeros = calloc(1, len);

	CHECK(fd >= 0 && source >= 0 && zeros && write(fd, zeros, len) == (ssize_t)len);
	free(zeros);
	CHECK(!fsync(fd) && !posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* A host may read ahead by more than the whole file: only MADV_RANDOM says how much a fault may bring. */
	CHECK(map != MAP_FAILED && !madvise(map, len, MADV_RANDOM));
	CHECK(!mincore(map, len, before));
	CHECK(pread(source, map + 10, 5, 0) == 5);
	CHECK(!mincore(map, len, after));
	for (int page = 0; page < PAGES; page++)
		more += after[page] & ~before[page] & 1;
	CHECK(more <= PAGES / 2);
	CHECK(!munmap(map, len) && !close(fd) && !close(source) && !unlink(at(D, "large")));
}

static int check(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	read_only();
	errors();
	written();
	ends();
	privates();
	moved();
	pointers();
	nameless();
	pointers_into_large_files();
	return 0;
}
