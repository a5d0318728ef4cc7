/* SPDX-License-Identifier: GPL-2.0-only */
/* started WAY PROGRAM [ARGS]: starts the program in this way, with an environment that has nothing in it (or what the
 * way says), and ends as it does. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *none[] = { NULL };
static char *other[] = { "LD_PRELOAD=libm.so.6 libdl.so.2", "STOWAWAY_LOG=error", "A=1", NULL };
static char **words;

static int finish(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child)
		return 99;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static void *in_a_thread(void *unused)
{
	(void)unused;
	execve(words[0], words, none);
	return NULL;
}

static int by_vfork(void)
{
	pid_t child = vfork();

	if (child == 0) {
		execve(words[0], words, none);
		_exit(97);
	}
	return finish(child);
}

static int by_clone(void)
{
	pid_t child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (child == 0) {
		execve(words[0], words, none);
		_exit(97);
	}
	return finish(child);
}

int main(int argc, char **argv)
{
	const char *way = argc > 2 ? argv[1] : "";
	pthread_t thread;
	pid_t child;

	words = argv + 2;
	if (!strcmp(way, "execve"))
		execve(words[0], words, none);
	else if (!strcmp(way, "null"))
		syscall(SYS_execve, words[0], words, NULL);
	else if (!strcmp(way, "replaced"))
		execve(words[0], words, other);
	else if (!strcmp(way, "unset")) {
		unsetenv("LD_PRELOAD");
		unsetenv("STOWAWAY_MOUNT");
		execv(words[0], words);
	} else if (!strcmp(way, "clearenv")) {
		clearenv();
		execvp(words[0], words);
	} else if (!strcmp(way, "fexecve"))
		fexecve(open(words[0], O_RDONLY | O_CLOEXEC), words, none);
	else if (!strcmp(way, "path-descriptor"))
		syscall(SYS_execveat, open(words[0], O_PATH | O_CLOEXEC), "", words, none, AT_EMPTY_PATH);
	else if (!strcmp(way, "execveat"))
		syscall(SYS_execveat, open("/", O_PATH), words[0] + 1, words, none, 0);
	else if (!strcmp(way, "vfork"))
		return by_vfork();
	else if (!strcmp(way, "clone"))
		return by_clone();
	else if (!strcmp(way, "spawn"))
		return posix_spawn(&child, words[0], NULL, NULL, words, none) ? 96 : finish(child);
	else if (!strcmp(way, "thread") && pthread_create(&thread, NULL, in_a_thread, NULL) == 0)
		pthread_join(thread, NULL);
	return 95;
}
