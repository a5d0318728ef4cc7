/* SPDX-License-Identifier: GPL-2.0-only */
/* Eight threads read a file again and again, four at a time, and signal each other meanwhile. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *path;

static void nothing(int number)
{
	(void)number;
}

static void *reader(void *unused)
{
	char bytes[64];

	for (int i = 0; i < 100; i++) {
		int fd = open(path, O_RDONLY);
		if (fd < 0 || read(fd, bytes, sizeof bytes) < 5 || memcmp(bytes, "Hello", 5) || close(fd))
			return (void *)path;
		if (i % 10 == 0)
			raise(SIGUSR1);
	}
	return unused;
}

int main(int argc, char **argv)
{
	path = argv[argc - 1];
	signal(SIGUSR1, nothing);
	for (int round = 0; round < 2; round++) {
		pthread_t threads[4];
		void *wrong;

		for (int i = 0; i < 4; i++)
			if (pthread_create(&threads[i], NULL, reader, NULL))
				return 1;
		for (int i = 0; i < 4; i++)
			if (pthread_join(threads[i], &wrong) || wrong)
				return 2;
	}
	puts("ok");
	return 0;
}
