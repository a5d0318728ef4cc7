/* SPDX-License-Identifier: GPL-2.0-only */
/* Two threads write files for ever; each file that was fsync'ed (it and its directory) is named on standard output,
 * with its length and seed. Some older files are renamed, cut and removed on the way, so that the journal is busy. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *dir;
static int dirfd_of_mount;

/* The same bytes as `kills.rs` expects. */
static void fill(unsigned char *bytes, size_t length, uint32_t seed)
{
	for (size_t i = 0; i < length; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = seed >> 24;
	}
}

static void *writer(void *arg)
{
	static __thread unsigned char bytes[40000];
	uint32_t id = (uint32_t)(uintptr_t)arg, seed = id * 7919 + getpid();
	char name[64], line[128];

	for (unsigned n = 0;; n++) {
		seed = seed * 1664525 + 1013904223;
		size_t length = seed % sizeof(bytes);
		fill(bytes, length, seed);
		snprintf(name, sizeof(name), "t%u-%u", id, n % 40);
		/* Not atomic on purpose: the old name is gone before the new file is named as safe. */
		snprintf(line, sizeof(line), "gone %s\n", name);
		if (write(1, line, strlen(line)) < 0)
			_exit(1);
		unlinkat(dirfd_of_mount, name, 0);
		int fd = openat(dirfd_of_mount, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0 || write(fd, bytes, length) != (ssize_t)length || fsync(fd) || fsync(dirfd_of_mount)) {
			perror(name);
			_exit(2);
		}
		close(fd);
		snprintf(line, sizeof(line), "safe %s %zu %u\n", name, length, seed);
		if (write(1, line, strlen(line)) < 0)
			_exit(1);
		snprintf(name, sizeof(name), "scratch%u", id);
		fd = openat(dirfd_of_mount, name, O_CREAT | O_RDWR, 0644);
		if (fd >= 0) {
			write(fd, bytes, length);
			ftruncate(fd, length / 2);
			close(fd);
			renameat(dirfd_of_mount, name, dirfd_of_mount, "renamed");
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	(void)argc;
	dir = argv[1];
	dirfd_of_mount = open(dir, O_RDONLY | O_DIRECTORY);
	if (dirfd_of_mount < 0) {
		perror(dir);
		return 2;
	}
	pthread_create(&thread, NULL, writer, (void *)1);
	writer((void *)2);
}
