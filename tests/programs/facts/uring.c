/* SPDX-License-Identifier: GPL-2.0-only */
/* A ring of the program's own, with requests on files of both places, on paths of both, and in chains. */
#include "fact.h"
#include <linux/io_uring.h>
#include <sys/eventfd.h>

static int ring;
static unsigned *tail, *mask, *array, *cq_head, *cq_tail, *cq_mask;
static struct io_uring_sqe *entries;
static struct io_uring_cqe *results;

static int set_up(unsigned flags)
{
	struct io_uring_params p = { .flags = flags };

	ring = (int)syscall(SYS_io_uring_setup, 4, &p);
	if (ring < 0)
		return -1;
	CHECK(p.flags == flags);
	char *sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	char *cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof *results, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	entries = mmap(NULL, p.sq_entries * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	CHECK(sq != MAP_FAILED && cq != MAP_FAILED && entries != MAP_FAILED);
	tail = (void *)(sq + p.sq_off.tail), mask = (void *)(sq + p.sq_off.ring_mask), array = (void *)(sq + p.sq_off.array);
	cq_head = (void *)(cq + p.cq_off.head), cq_tail = (void *)(cq + p.cq_off.tail), cq_mask = (void *)(cq + p.cq_off.ring_mask);
	results = (void *)(cq + p.cq_off.cqes);
	return 0;
}

/* Puts requests into the queue, and hands all of them in. Their results, in the order of the requests. */
static void all(unsigned n, const struct io_uring_sqe *requests, int *got)
{
	unsigned first = *tail;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = (first + i) & *mask;
		entries[at] = requests[i];
		entries[at].user_data = i;
		array[at] = at;
		got[i] = 12345;
	}
	__atomic_store_n(tail, first + n, __ATOMIC_RELEASE);
	CHECK(syscall(SYS_io_uring_enter, ring, n, n, IORING_ENTER_GETEVENTS, NULL, 0) == n);
	for (unsigned i = 0; i < n; i++) {
		CHECK(__atomic_load_n(cq_tail, __ATOMIC_ACQUIRE) != *cq_head);
		struct io_uring_cqe *result = &results[*cq_head & *cq_mask];
		CHECK(result->user_data < n && got[result->user_data] == 12345);
		got[result->user_data] = result->res;
		__atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
		/* the program may use an entry again as it is */
		struct io_uring_sqe kept = entries[(first + i) & *mask];
		kept.user_data = requests[i].user_data;
		CHECK(!memcmp(&kept, &requests[i], sizeof kept));
	}
	CHECK(*cq_head == *cq_tail);
}

static int done(struct io_uring_sqe request)
{
	int got;

	all(1, &request, &got);
	return got;
}

static struct io_uring_sqe sqe(int op, int fd, const void *addr, unsigned len, uint64_t off)
{
	return (struct io_uring_sqe){ .opcode = op, .fd = fd, .addr = (uintptr_t)addr, .len = len, .off = off };
}

static void files(int fd, const char *dir)
{
	char got[32] = "", fixed[16] = "";
	struct iovec part = { got, 5 };
	struct stat st;

	CHECK(done(sqe(IORING_OP_WRITE, fd, "ring of a kind", 14, 0)) == 14);
	CHECK(done(sqe(IORING_OP_READ, fd, got, 32, 5)) == 9 && !memcmp(got, "of a kind", 9));
	CHECK(done(sqe(IORING_OP_READ, fd, got, 32, 100)) == 0);
	CHECK(done(sqe(IORING_OP_READV, fd, &part, 1, 0)) == 5 && !memcmp(got, "ring ", 5));
	/* the position of the file */
	CHECK(lseek(fd, 10, SEEK_SET) == 10 && done(sqe(IORING_OP_READ, fd, got, 32, -1)) == 4 && lseek(fd, 0, SEEK_CUR) == 14);
	CHECK(done(sqe(IORING_OP_FSYNC, fd, NULL, 0, 0)) == 0);
	struct io_uring_sqe data = sqe(IORING_OP_FSYNC, fd, NULL, 0, 0);
	data.fsync_flags = IORING_FSYNC_DATASYNC;
	CHECK(done(data) == 0);
	CHECK(done(sqe(IORING_OP_FALLOCATE, fd, (void *)4096, 0, 0)) == 0 && !fstat(fd, &st) && st.st_size == 4096);
	CHECK(done(sqe(IORING_OP_FADVISE, fd, NULL, 4096, 0)) == 0);
	/* what is wrong */
	CHECK(done(sqe(IORING_OP_READ, fd, (void *)8, 8, 0)) == -EFAULT);
	CHECK(done(sqe(IORING_OP_READ, 1 << 20, got, 8, 0)) == -EBADF);
	int readable = open(at(dir, "ring"), O_RDONLY);
	CHECK(readable >= 0 && done(sqe(IORING_OP_WRITE, readable, got, 8, 0)) == -EBADF);
	CHECK(done(sqe(IORING_OP_CLOSE, readable, NULL, 0, 0)) == 0);
	FAILS(fcntl(readable, F_GETFD), EBADF);
	CHECK(done(sqe(IORING_OP_CLOSE, readable, NULL, 0, 0)) == -EBADF);
	/* buffers that are registered */
	struct iovec buffer = { fixed, sizeof fixed };
	CHECK(!syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1));
	CHECK(done(sqe(IORING_OP_READ_FIXED, fd, fixed, 4, 0)) == 4 && !memcmp(fixed, "ring", 4));
	CHECK(!syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0));
}

static void paths(const char *dir)
{
	char *name = at(dir, "by_ring"), *other = at(dir, "by_ring_2"), bytes[8] = "";
	struct statx stat;

	struct io_uring_sqe opens = sqe(IORING_OP_OPENAT, AT_FDCWD, name, 0600, 0);
	opens.open_flags = O_RDWR | O_CREAT | O_EXCL;
	int fd = done(opens);
	CHECK(fd >= 0 && write(fd, "opened", 6) == 6 && pread(fd, bytes, 6, 0) == 6 && !close(fd));
	CHECK(done(opens) == -EEXIST);
	struct io_uring_sqe asks = sqe(IORING_OP_STATX, AT_FDCWD, name, STATX_SIZE, (uintptr_t)&stat);
	CHECK(done(asks) == 0 && stat.stx_size == 6);
	CHECK(done(sqe(IORING_OP_RENAMEAT, AT_FDCWD, name, AT_FDCWD, (uintptr_t)other)) == 0);
	CHECK(done(sqe(IORING_OP_LINKAT, AT_FDCWD, other, AT_FDCWD, (uintptr_t)name)) == 0);
	CHECK(!access(name, F_OK) && !access(other, F_OK));
	CHECK(done(sqe(IORING_OP_UNLINKAT, AT_FDCWD, other, 0, 0)) == 0 && done(sqe(IORING_OP_UNLINKAT, AT_FDCWD, other, 0, 0)) == -ENOENT);
	CHECK(!unlink(name));
	CHECK(done(sqe(IORING_OP_MKDIRAT, AT_FDCWD, name, 0700, 0)) == 0 && !access(name, X_OK));
	CHECK(done(sqe(IORING_OP_SYMLINKAT, AT_FDCWD, "target", 0, (uintptr_t)at(name, "link"))) == 0);
	CHECK(readlink(at(name, "link"), bytes, 8) == 6 && !memcmp(bytes, "target", 6) && !unlink(at(name, "link")));
	struct io_uring_sqe removes = sqe(IORING_OP_UNLINKAT, AT_FDCWD, name, 0, 0);
	removes.unlink_flags = AT_REMOVEDIR;
	CHECK(done(removes) == 0);
	FAILS(access(name, F_OK), ENOENT);
}

static void chains(int fd, int of_host)
{
	char got[16] = "";
	int results[4];
	struct io_uring_sqe copies[] = { sqe(IORING_OP_WRITE, fd, "chain", 5, 0), sqe(IORING_OP_FSYNC, fd, NULL, 0, 0), sqe(IORING_OP_READ, fd, got, 5, 0) };

	copies[0].flags = copies[1].flags = IOSQE_IO_LINK;
	all(3, copies, results);
	CHECK(results[0] == 5 && !results[1] && results[2] == 5 && !memcmp(got, "chain", 5));
	/* what fails, and what is short, ends a chain */
	copies[0].addr = 8;
	all(3, copies, results);
	CHECK(results[0] == -EFAULT && results[1] == -ECANCELED && results[2] == -ECANCELED);
	struct io_uring_sqe is_short[] = { sqe(IORING_OP_READ, fd, got, 16, 4090), sqe(IORING_OP_WRITE, fd, "never", 5, 0) };
	is_short[0].flags = IOSQE_IO_LINK;
	all(2, is_short, results);
	CHECK(results[0] == 6 && results[1] == -ECANCELED && pread(fd, got, 5, 0) == 5 && !memcmp(got, "chain", 5));
	is_short[0].flags = IOSQE_IO_HARDLINK;
	is_short[0].addr = 8;
	all(2, is_short, results);
	CHECK(results[0] == -EFAULT && results[1] == 5 && pread(fd, got, 5, 0) == 5 && !memcmp(got, "never", 5));
	/* one after the other, of both places, without a chain */
	struct io_uring_sqe mixed[] = { sqe(IORING_OP_WRITE, fd, "one", 3, 0), sqe(IORING_OP_WRITE, of_host, "two", 3, 0), sqe(IORING_OP_NOP, 0, NULL, 0, 0),
					sqe(IORING_OP_WRITE, fd, "three", 5, 3) };
	all(4, mixed, results);
	CHECK(results[0] == 3 && results[1] == 3 && !results[2] && results[3] == 5);
	CHECK(pread(fd, got, 8, 0) == 8 && !memcmp(got, "onethree", 8) && pread(of_host, got, 3, 0) == 3 && !memcmp(got, "two", 3));
}

static void *reads(void *arg)
{
	char got[8];

	CHECK(read(*(int *)arg, got, 8) == 8);
	return NULL;
}

/* One thread waits for a result while another hands requests in. */
static void threads(int fd)
{
	int bell = eventfd(0, 0);
	pthread_t reader;

	CHECK(bell >= 0 && !syscall(SYS_io_uring_register, ring, IORING_REGISTER_EVENTFD, &bell, 1));
	CHECK(!pthread_create(&reader, NULL, reads, &bell));
	CHECK(done(sqe(IORING_OP_READ, fd, (char[4]){ 0 }, 3, 0)) == 3 && !pthread_join(reader, NULL));
	CHECK(!syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_EVENTFD, NULL, 0) && !close(bell));
}

static int check(void)
{
	int here = open(at(H, "ring"), O_RDWR | O_CREAT | O_TRUNC, 0600), fd = open(at(D, "ring"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	int is_served = ROLE && !strcmp(ROLE, "served");
	char bytes[16] = "";

	CHECK(here >= 0 && fd >= 0);
	for (unsigned flags = 0; flags <= IORING_SETUP_R_DISABLED; flags += IORING_SETUP_R_DISABLED) {
		if (set_up(flags)) {
			puts("the host has no io_uring");
			return 0;
		}
		if (flags)
			CHECK(!syscall(SYS_io_uring_register, ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
		CHECK(done(sqe(IORING_OP_NOP, 0, NULL, 0, 0)) == 0);
		files(here, H);
		files(fd, D);
		paths(H);
		paths(D);
		chains(fd, here);
		threads(fd);
		CHECK(!syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &here, 1));
		struct io_uring_sqe fixed = sqe(IORING_OP_READ, 0, bytes, 4, 0);
		fixed.flags = IOSQE_FIXED_FILE;
		CHECK(done(fixed) == 4);
		CHECK(!close(ring) && !ftruncate(fd, 0) && !ftruncate(here, 0));
	}
	/* as many rings as the process may have, one after the other */
	for (int n = 0; n < 200; n++) {
		int low = dup(fd);
		CHECK(!set_up(0) && low >= 0);
		if (n % 2)
			CHECK(!close(low));
		CHECK(!close(ring));
	}
	/* BPF_OBJ_GET: another call that has its path in memory */
	uint64_t attributes[16] = { (uintptr_t)HELLO };
	if (is_served)
		FAILS(syscall(SYS_bpf, 7, attributes, sizeof attributes), ENOSYS);
	return 0;
}
