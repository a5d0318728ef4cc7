/* SPDX-License-Identifier: GPL-2.0-only */
/* Writes without any fsync and then ends in the way that the second argument names. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *way;

static int is(const char *name)
{
	return !strcmp(way, name);
}

static void *end_from_thread(void *unused)
{
	if (is("thread-exit"))
		exit(7);
	if (is("thread-_exit"))
		_exit(7);
	if (is("thread-segv"))
		*(volatile int *)16 = 1;
	usleep(20000);
	return NULL; /* "main-leaves": the last thread returns, the process ends with 0 */
}

static void by_signal(int number)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	if (is("SIGSEGV-fault"))
		*(volatile int *)16 = 1;
	if (is("SIGILL-fault"))
		__asm__ volatile("ud2");
	raise(number);
}

int main(int argc, char **argv)
{
	static char block[100000];
	char path[4096];

	(void)argc;
	way = argv[2];
	memset(block, 'd', sizeof(block));
	snprintf(path, sizeof(path), "%s/data", argv[1]);
	int fd = open(path, O_CREAT | O_WRONLY, 0644);
	if (fd < 0 || write(fd, block, sizeof(block)) != sizeof(block))
		return 99;
	snprintf(path, sizeof(path), "%s/stdio", argv[1]);
	FILE *stdio = fopen(path, "w");
	fputs("buffered", stdio);
	if (is("return"))
		return 3;
	if (is("exit"))
		exit(4);
	if (is("_exit"))
		_exit(5);
	if (is("exit_group"))
		syscall(SYS_exit_group, 6);
	if (is("quick_exit"))
		quick_exit(8);
	if (is("abort")) {
		struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_CORE, &none);
		abort();
	}
	if (is("exec"))
		execl("/bin/sh", "sh", "-c", "exit 9", NULL);
	if (is("wait")) { /* to be killed from outside, in a wait of the host */
		write(1, "ready\n", 6);
		for (;;)
			pause();
	}
	if (is("busy")) { /* to be killed from outside, amid file work */
		write(1, "ready\n", 6);
		for (;;)
			pwrite(fd, block, sizeof(block), 0);
	}
	if (strstr(way, "thread-") || is("main-leaves")) {
		pthread_t thread;
		struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_CORE, &none);
		pthread_create(&thread, NULL, end_from_thread, NULL);
		if (is("main-leaves"))
			pthread_exit(NULL);
		pthread_join(thread, NULL);
		pause();
	}
	by_signal(atoi(argv[3]));
	return 98;
}
