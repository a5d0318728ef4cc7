/* SPDX-License-Identifier: GPL-2.0-only */
/* watched WAY FILE: makes a known number of calls, and ends in the way that is asked for. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARENTS 1000
#define READS 30

static const char *file;

static void calls(int parents, int reads)
{
	char byte;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	for (int i = 0; i < parents; i++)
		syscall(SYS_getppid);
	for (int i = 0; i < parents / 100; i++) {
		int nr = 20; /* getpid, there */

		__asm__ volatile("int $0x80" : "+a"(nr) : : "memory");
	}
	for (int i = 0; i < reads; i++)
		pread(fd, &byte, 1, 0);
	close(fd);
}

static void *thread(void *unused)
{
	(void)unused;
	calls(PARENTS, 0);
	return NULL;
}

static void tick(int sig)
{
	(void)sig;
	syscall(SYS_getuid);
}

/* Threads at work, and a timer's handler amid their calls. */
static int crowd(void)
{
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
	pthread_t threads[4];

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, thread, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	memset(&often, 0, sizeof(often));
	setitimer(ITIMER_REAL, &often, NULL);
	return 0;
}

/* Pointers that are none, strings that never end. */
static int bad(void)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(page + 4096, 4096, PROT_NONE);
	memset(page, 'x', 4096);
	if (syscall(SYS_write, 1, (void *)1, 5) != -1 || errno != EFAULT)
		return 1;
	if (syscall(SYS_openat, AT_FDCWD, page + 4090, O_RDONLY) != -1 || errno != EFAULT)
		return 2;
	if (syscall(SYS_openat, AT_FDCWD, (void *)-1, O_RDONLY) != -1 || errno != EFAULT)
		return 3;
	if (syscall(SYS_execve, file, (void *)8, (void *)16) != -1)
		return 4;
	syscall(SYS_writev, 1, (void *)1, 3);
	syscall(SYS_nanosleep, (void *)1, NULL);
	syscall(SYS_connect, 1, (void *)1, 16);
	return 0;
}

int main(int argc, char **argv)
{
	const char *way = argc > 2 ? argv[1] : "";

	file = argv[2];
	if (!strcmp(way, "bad"))
		return bad();
	if (!strcmp(way, "crowd"))
		return crowd();
	if (!strcmp(way, "closes"))
		for (int fd = 3; fd < 8192; fd++)
			close(fd);
	if (!strcmp(way, "close_range"))
		close_range(3, ~0U, 0);
	if (!strcmp(way, "fork")) {
		calls(PARENTS, READS);
		if (fork() == 0) {
			for (int i = 0; i < 7; i++)
				syscall(SYS_getppid);
			_exit(0);
		}
		wait(NULL);
		return 0;
	}
	calls(PARENTS, READS);
	if (!strcmp(way, "_exit"))
		_exit(0);
	if (!strcmp(way, "exit"))
		syscall(SYS_exit, 0);
	if (!strcmp(way, "signal"))
		raise(SIGTERM);
	if (!strcmp(way, "exec"))
		execl("/bin/true", "true", NULL);
	return 0;
}
