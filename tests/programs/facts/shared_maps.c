/* SPDX-License-Identifier: GPL-2.0-only */
/* Mappings of a file in several processes: what one stores, the others see; what one cuts off is SIGBUS for all. */
#include "fact.h"

#define PAGE 4096
#define RW (PROT_READ | PROT_WRITE)
#define N 200

static sigjmp_buf back;
static volatile int code_got;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	code_got = info->si_code;
	siglongjmp(back, sig);
}

static int touch(volatile char *at)
{
	int sig = sigsetjmp(back, 1);

	if (!sig)
		(void)*at;
	return sig;
}

static char *shared_with(int fd, int prot)
{
	char *m = mmap(NULL, N * PAGE, prot, MAP_SHARED, fd, 0);

	CHECK(m != MAP_FAILED);
	return m;
}

/* two processes, each with pipes to wait for the other */
static int to_child[2], to_parent[2];
static void tell(int *to) { CHECK(write(to[1], "x", 1) == 1); }
static void wait_for(int *from) { char c; CHECK(read(from[0], &c, 1) == 1); }

static void child_of_cut(int fd, char *m, volatile char *p)
{
	wait_for(to_child);
	CHECK(m[5] == 'P' && m[100 * PAGE] == 'P');
	m[6] = 'C';
	m[101 * PAGE] = 'C';
	tell(to_parent);
	wait_for(to_child);
	/* the parent has cut the file */
	CHECK(touch(m + 100 * PAGE) == SIGBUS && code_got == BUS_ADRERR && touch(m + 11 * PAGE) == SIGBUS && !touch(m + 9 * PAGE));
	tell(to_parent);
	wait_for(to_child);
	/* and made it grow, and written */
	CHECK(m[100 * PAGE] == 'N' && m[101 * PAGE] == 0);
	CHECK(p[3] == 'p');
	CHECK(!ftruncate(fd, 20 * PAGE));
	tell(to_parent);
	_exit(0);
}

static void cut(void)
{
	int fd = open(at(D, "cut"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && !ftruncate(fd, N * PAGE) && !pipe(to_child) && !pipe(to_parent));
	char *m = shared_with(fd, RW), *p = mmap(NULL, N * PAGE, RW, MAP_PRIVATE, fd, 0);
	pid_t child;

	p[3] = 'p';
	m[0] = m[100 * PAGE] = 'b';
	child = fork();
	if (!child)
		child_of_cut(fd, m, p);
	m[5] = m[100 * PAGE] = 'P';
	tell(to_child);
	wait_for(to_parent);
	CHECK(m[6] == 'C' && m[101 * PAGE] == 'C' && !msync(m, N * PAGE, MS_SYNC) && !fsync(fd));
	CHECK(!ftruncate(fd, 10 * PAGE));
	tell(to_child);
	wait_for(to_parent);
	CHECK(!ftruncate(fd, N * PAGE) && pwrite(fd, "N", 1, 100 * PAGE) == 1);
	tell(to_child);
	wait_for(to_parent);
	CHECK(touch(m + 100 * PAGE) == SIGBUS && !touch(m + 19 * PAGE) && m[6] == 'C');
	CHECK(status_of(child) == 0 && !munmap(m, N * PAGE) && !munmap((char *)p, N * PAGE) && !close(fd));
}

/* counters in a file, by many processes, while it is synced */
static void counters(void)
{
	int fd = open(at(D, "counters"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(!ftruncate(fd, N * PAGE));
	long *m = (long *)shared_with(fd, RW);
	enum { CHILDREN = 4, TURNS = 3000 };
	pid_t children[CHILDREN];

	for (int i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		if (children[i])
			continue;
		for (int turn = 0; turn < TURNS; turn++) {
			__atomic_fetch_add(&m[turn % N * (PAGE / sizeof(long))], 1, __ATOMIC_SEQ_CST);
			m[turn % N * (PAGE / sizeof(long)) + 8 + i]++;
			if (turn % 500 == 0)
				CHECK(i % 2 ? !fsync(fd) : !msync(m, N * PAGE, MS_SYNC));
		}
		_exit(0);
	}
	for (int i = 0; i < CHILDREN; i++)
		CHECK(status_of(children[i]) == 0);
	CHECK(!fsync(fd));
	for (int page = 0; page < N; page++) {
		long buf[16];
		CHECK(pread(fd, buf, sizeof(buf), page * PAGE) == sizeof(buf) && buf[0] == CHILDREN * TURNS / N);
		for (int i = 0; i < CHILDREN; i++)
			CHECK(buf[8 + i] == TURNS / N && m[page * (PAGE / sizeof(long)) + 8 + i] == TURNS / N);
	}
	CHECK(!munmap(m, N * PAGE) && !close(fd));
}

/* what a killed process has stored is in the file */
static void killed(void)
{
	int fd = open(at(D, "killed"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	char c;
	CHECK(!ftruncate(fd, N * PAGE));
	pid_t child = fork();
	if (!child) {
		char *m = shared_with(fd, RW);
		for (int i = 0; i < N; i++)
			m[i * PAGE + 7] = 'k';
		tell(to_parent);
		pause();
	}
	wait_for(to_parent);
	CHECK(!kill(child, SIGKILL) && status_of(child) == SIGKILL);
	for (int i = 0; i < N; i++)
		CHECK(pread(fd, &c, 1, i * PAGE + 7) == 1 && c == 'k');
	CHECK(!close(fd));
}

/* a lock in a mapped file, between processes */
static void locks(void)
{
	struct both { pthread_mutex_t lock; pthread_cond_t changed; int turn; } *b;
	int fd = open(at(D, "locks"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	pthread_mutexattr_t of_lock;
	pthread_condattr_t of_condition;

	CHECK(!ftruncate(fd, N * PAGE));
	b = (void *)shared_with(fd, RW);
	pthread_mutexattr_init(&of_lock);
	pthread_mutexattr_setpshared(&of_lock, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&of_lock, PTHREAD_MUTEX_ROBUST);
	pthread_condattr_init(&of_condition);
	pthread_condattr_setpshared(&of_condition, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&b->lock, &of_lock);
	pthread_cond_init(&b->changed, &of_condition);
	pid_t child = fork();
	for (int i = 0; i < 100; i++) {
		CHECK(!pthread_mutex_lock(&b->lock));
		while (b->turn % 2 != !child)
			CHECK(!pthread_cond_wait(&b->changed, &b->lock));
		b->turn++;
		if (i % 30 == 0)
			CHECK(!fsync(fd));
		pthread_cond_broadcast(&b->changed);
		pthread_mutex_unlock(&b->lock);
	}
	if (!child)
		_exit(0);
	CHECK(status_of(child) == 0 && b->turn == 200 && !close(fd));
}

static void *write_all(void *m)
{
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < N; i++)
			__atomic_fetch_add((int *)((char *)m + i * PAGE), 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* forks while other threads store */
static void forks(void)
{
	int fd = open(at(D, "forks"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	pthread_t threads[2];
	CHECK(!ftruncate(fd, N * PAGE));
	char *m = shared_with(fd, RW), *p = mmap(NULL, N * PAGE, RW, MAP_PRIVATE, fd, 0);

	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, write_all, m);
	for (int i = 0; i < 20; i++) {
		p[i * 9 * PAGE] = 'p';
		pid_t child = fork();
		if (!child) {
			__atomic_fetch_add((int *)(m + 8), 1, __ATOMIC_SEQ_CST);
			_exit(p[i * 9 * PAGE] != 'p' || p[199 * PAGE] > 100);
		}
		CHECK(status_of(child) == 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < N; i++) {
		int got[3];
		CHECK(pread(fd, got, sizeof(got), i * PAGE) == sizeof(got) && got[0] == 40 && got[2] == (i ? 0 : 20));
	}
	CHECK(!close(fd));
}

static int check(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	cut();
	counters();
	killed();
	locks();
	forks();
	return 0;
}
