/* SPDX-License-Identifier: GPL-2.0-only */
/* Whoever does the work of a call, its bad pointers end as EFAULT; and what is sent to the process is its own threads'
 * to get, though the signals of faults cannot be blocked everywhere. */
#include "fact.h"

#define THREADS 4
#define ROUNDS 400

static _Atomic int came, elsewhere;
static pid_t first;

static void *bad_pointers(void *arg)
{
	char name[32], byte;
	int fd;

	snprintf(name, sizeof(name), "bad%ld", (long)arg);
	fd = open(at(D, name), O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0);
	for (int i = 0; i < ROUNDS; i++) {
		FAILS(write(fd, (char *)8, 10), EFAULT);
		CHECK(pwrite(fd, "a", 1, 0) == 1);
		if (i % 8 == 0)
			CHECK(!fdatasync(fd));
		FAILS(pread(fd, (char *)8, 1, 0), EFAULT);
		FAILS(fstat(fd, (struct stat *)16), EFAULT);
		CHECK(pread(fd, &byte, 1, 0) == 1 && byte == 'a');
	}
	CHECK(!close(fd));
	return NULL;
}

static void on_sent(int number)
{
	(void)number;
	came++;
	if (syscall(SYS_gettid) != first)
		elsewhere++;
}

static int check(void)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction action = { .sa_handler = on_sent };
	pthread_t threads[THREADS];
	sigset_t all, was;

	first = getpid();
	for (long i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, bad_pointers, (void *)i));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	sigfillset(&all);
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		CHECK(!sigaction(faults[i], &action, NULL));
		came = elsewhere = 0;
		CHECK(!sigprocmask(SIG_SETMASK, &all, &was) && !kill(getpid(), faults[i]));
		sleep_ms(20);
		CHECK(!sigprocmask(SIG_SETMASK, &was, NULL));
		CHECK(came == 1 && elsewhere == 0);
	}
	return 0;
}
