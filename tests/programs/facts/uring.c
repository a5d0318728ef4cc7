/* SPDX-License-Identifier: GPL-2.0-only */
/* A ring of the program's own: what has no path works; a request with a path never reaches a file of the host that has the
 * name of one in the directory. ROLE says whether such requests are made (natively) or refused. */
#include "fact.h"
#include <linux/io_uring.h>

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

static int done(struct io_uring_sqe request)
{
	unsigned at = *tail & *mask;

	entries[at] = request;
	array[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	CHECK(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	CHECK(__atomic_load_n(cq_tail, __ATOMIC_ACQUIRE) != *cq_head);
	int result = results[*cq_head & *cq_mask].res;
	__atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
	return result;
}

static int check(void)
{
	char bytes[16] = "", *shadow = at(D, "only_of_the_host");
	int is_served = ROLE && !strcmp(ROLE, "served"), here = open(at(H, "ring"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	CHECK(here >= 0 && write(here, "ring of a kind", 14) == 14);
	for (unsigned flags = 0; flags <= IORING_SETUP_R_DISABLED; flags += IORING_SETUP_R_DISABLED) {
		if (set_up(flags)) {
			puts("the host has no io_uring");
			return 0;
		}
		if (flags)
			CHECK(!syscall(SYS_io_uring_register, ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
		CHECK(done((struct io_uring_sqe){ .opcode = IORING_OP_NOP }) == 0);
		CHECK(done((struct io_uring_sqe){ .opcode = IORING_OP_READ, .fd = here, .addr = (uintptr_t)bytes, .len = 4 }) == 4 && !memcmp(bytes, "ring", 4));
		CHECK(!syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &here, 1));
		CHECK(done((struct io_uring_sqe){ .opcode = IORING_OP_READ, .flags = IOSQE_FIXED_FILE, .fd = 0, .addr = (uintptr_t)bytes, .len = 4 }) == 4);
		struct io_uring_sqe with_path[] = {
			{ .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)shadow, .open_flags = O_RDWR | O_CREAT, .len = 0600 },
			{ .opcode = IORING_OP_MKDIRAT, .fd = AT_FDCWD, .addr = (uintptr_t)at(D, "made"), .len = 0700 },
			{ .opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = (uintptr_t)at(D, "made"), .unlink_flags = AT_REMOVEDIR },
			{ .opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = (uintptr_t)shadow },
		};
		for (unsigned i = 0; i < sizeof with_path / sizeof *with_path; i++) {
			int got = done(with_path[i]);
			CHECK(is_served ? got == -EACCES : got >= 0);
		}
		close(ring);
	}
	/* BPF_OBJ_GET: another call that has its path in memory */
	uint64_t attributes[16] = { (uintptr_t)HELLO };
	if (is_served)
		FAILS(syscall(SYS_bpf, 7, attributes, sizeof attributes), ENOSYS);
	return 0;
}
