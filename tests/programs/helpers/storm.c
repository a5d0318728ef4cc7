// SPDX-License-Identifier: GPL-2.0-only
// Processes that write, and are killed and replaced all the time. DIR MILLISECONDS WORKERS family|outside
// family: this program kills its children. outside: somebody else does, who reads their ids ("pid N").
// Each child says "closed NAME LENGTH SEED" of a file that is written, or "safe ..." of one that is on the disk.
// At the end: "kills N, ended by themselves N".
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16 };
static const char *dir;
static pid_t workers[MOST];
static unsigned generation;

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 24;
}

static void say(const char *line, int length)
{
	if (write(1, line, length) != length)
		_exit(9);
}

// A child's way: 0 never comes back, and 5 says that the kernel has stopped.
static void give_up(void)
{
	_exit(errno == EIO || errno == ENODEV ? 5 : 6);
}

static void work(unsigned id)
{
	unsigned seed = id * 7919 + 1;
	char name[40], path[300], temporary[310], line[120];
	unsigned char bytes[6000];

	for (unsigned n = 0; n < 400; n++) {
		unsigned length = next(&seed) * 20 + 1, start = seed, fill = seed;
		int safe = next(&seed) < 40, fd, lock;

		for (unsigned i = 0; i < length; i++)
			bytes[i] = next(&fill);
		snprintf(name, sizeof(name), "f%u-%u", id, n);
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		snprintf(temporary, sizeof(temporary), "%s.new", path);
		lock = open(dir, O_RDONLY);
		if (lock < 0 || flock(lock, n % 8 ? LOCK_SH : LOCK_EX))
			give_up();
		fd = open(temporary, O_CREAT | O_TRUNC | O_WRONLY, 0644);
		if (fd < 0 || write(fd, bytes, length) != length || (safe && fsync(fd)) || close(fd) || rename(temporary, path))
			give_up();
		if (safe) {
			fd = open(path, O_RDONLY);
			if (fd < 0 || fsync(fd) || close(fd))
				give_up();
		}
		if (close(lock))
			give_up();
		say(line, snprintf(line, sizeof(line), "%s %s %u %u\n", safe ? "safe" : "closed", name, length, start));
	}
	_exit(0);
}

static void start(int i)
{
	char line[40];

	workers[i] = fork();
	generation++;
	if (workers[i] == 0)
		work(generation);
	if (workers[i] < 0)
		give_up();
	say(line, snprintf(line, sizeof(line), "pid %d\n", workers[i]));
}

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	long long end = now_ms() + atoi(argv[2]);
	int count = atoi(argv[3]), family = !strcmp(argv[4], "family"), kills = 0, ended = 0;
	unsigned seed = getpid();
	char line[80];

	dir = argv[1];
	for (int i = 0; i < count; i++)
		start(i);
	while (now_ms() < end) {
		int status, victim = next(&seed) % count;

		usleep(next(&seed) * 60);
		if (family)
			kill(workers[victim], SIGKILL);
		else if (waitpid(workers[victim], NULL, WNOHANG) == 0)
			continue;
		else
			goto replace;
		if (waitpid(workers[victim], &status, 0) != workers[victim])
			return 7;
		if (WIFSIGNALED(status))
			kills++;
		else if (WEXITSTATUS(status))
			return WEXITSTATUS(status);
		else
			ended++;
replace:
		start(victim);
	}
	for (int i = 0; i < count; i++) {
		kill(workers[i], SIGKILL);
		waitpid(workers[i], NULL, 0);
	}
	say(line, snprintf(line, sizeof(line), "kills %d, ended by themselves %d\n", kills, ended));
	return 0;
}
