/* SPDX-License-Identifier: GPL-2.0-only */
/* Children that share their parent's memory: by vfork, posix_spawn and clone(CLONE_VM). */
#include "fact.h"
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>

extern char **environ;
static volatile int global;
static volatile long counter;
static char stack[256 << 10] __attribute__((aligned(64)));

static int ended(pid_t child)
{
	int status;

	return waitpid(child, &status, __WALL) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* what a child of vfork stores: on the stack, in variables, on the heap; before an exec that succeeds, and one that fails */
static int of_vfork(void)
{
	volatile int local = 0, failed = 0;
	volatile int *heap = malloc(100000);
	char *words[] = { "true", NULL };
	pid_t child;

	memset((void *)heap, 0, 100000);
	if (!(child = vfork())) {
		local = 1, global = 2, heap[20000] = 3;
		execve("/bin/true", words, environ);
		_exit(9);
	}
	CHECK(ended(child) == 0 && local == 1 && global == 2 && heap[20000] == 3);
	if (!(child = vfork())) {
		execve("/there/is/nothing", words, environ);
		failed = errno;
		_exit(8);
	}
	CHECK(ended(child) == 8 && failed == ENOENT);
	/* a child of the child: its stores are the child's, and the child's are ours */
	if (!(child = vfork())) {
		pid_t inner = vfork();
		if (!inner)
			local = 5, global = 6, _exit(0);
		_exit(ended(inner) || local != 5 || global++ != 6);
	}
	CHECK(ended(child) == 0 && local == 5 && global == 7);
	/* a child of fork stores for itself */
	if (!(child = fork()))
		local = 50, global = 60, _exit(0);
	CHECK(ended(child) == 0 && local == 5 && global == 7);
	free((void *)heap);
	return 0;
}

/* the child's descriptors, directory and handlers are its own */
static int apart(void)
{
	int fd = open(at(D, "borrowed"), O_CREAT | O_RDWR | O_TRUNC, 0644);
	char got[8] = "", cwd[4096], after[4096];
	volatile int made = -1;
	pid_t child;

	CHECK(fd >= 0 && getcwd(cwd, sizeof(cwd)));
	if (!(child = vfork())) {
		signal(SIGUSR1, SIG_IGN);
		if (write(fd, "child", 5) != 5 || close(fd) || chdir("/") || (made = open(at(D, "more"), O_CREAT | O_RDWR, 0644)) < 0)
			_exit(1);
		_exit(0);
	}
	CHECK(ended(child) == 0 && made == fd);
	CHECK(pread(fd, got, 5, 0) == 5 && !strcmp(got, "child"));
	CHECK(getcwd(after, sizeof(after)) && !strcmp(cwd, after));
	CHECK(signal(SIGUSR1, SIG_DFL) == SIG_DFL);
	CHECK(!close(fd) && !access(at(D, "more"), F_OK));
	return 0;
}

/* a program that is not there, not executable, or no program */
static int of_posix_spawn(void)
{
	char *words[] = { "x", NULL }, path[4096];
	posix_spawn_file_actions_t actions;
	pid_t child = -7;
	int fd;

	CHECK(posix_spawn(&child, "/there/is/nothing", NULL, NULL, words, environ) == ENOENT && child == -7);
	CHECK(posix_spawnp(&child, "there-is-nothing", NULL, NULL, words, environ) == ENOENT);
	CHECK(posix_spawn(&child, strcpy(path, at(D, "nothing")), NULL, NULL, words, environ) == ENOENT);
	CHECK((fd = open(strcpy(path, at(D, "text")), O_CREAT | O_WRONLY, 0644)) >= 0 && write(fd, "text\n", 5) == 5);
	CHECK(posix_spawn(&child, path, NULL, NULL, words, environ) == EACCES);
	CHECK(!fchmod(fd, 0755) && !close(fd));
	CHECK(posix_spawn(&child, path, NULL, NULL, words, environ) == ENOEXEC);
	CHECK(!posix_spawn_file_actions_init(&actions));
	CHECK(!posix_spawn_file_actions_addopen(&actions, 9, at(D, "none/none"), O_RDONLY, 0));
	CHECK(posix_spawn(&child, "/bin/true", &actions, NULL, words, environ) == ENOENT);
	CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	CHECK(!posix_spawn(&child, "/bin/true", NULL, NULL, words, environ) && child > 0 && ended(child) == 0);
	return 0;
}

static int add(void *arg)
{
	*(volatile int *)arg += 41;
	return 3;
}

static int adds(int flags)
{
	static int tid;
	volatile int local = 1;
	int child;

	tid = 0;
	child = clone(add, stack + sizeof(stack), flags | CLONE_PARENT_SETTID | SIGCHLD, (void *)&local, &tid, NULL, NULL);
	if (child < 0 || ended(child) != 3 || tid != child)
		return -1;
	return local;
}

/* parent and child both run, on the same memory */
static int answers(void *arg)
{
	char got[4] = "";
	int *ends = arg;

	while (counter < 1000)
		if (counter & 1)
			counter++;
	if (read(ends[0], got, 2) != 2 || strcmp(got, "hi"))
		return 1;
	return kill(getppid(), 0) ? 2 : 0;
}

static int of_clone(void)
{
	int ends[2], child;

	CHECK(adds(CLONE_VM | CLONE_VFORK) == 42 && adds(CLONE_VM) == 42 && adds(CLONE_VFORK) == 1 && adds(0) == 1);
	CHECK(adds(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND) == 42);
	CHECK(adds(CLONE_VM | CLONE_VFORK | CLONE_SIGHAND) == 42);
	CHECK(!pipe(ends));
	child = clone(answers, stack + sizeof(stack), CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED, ends, NULL, NULL, NULL);
	CHECK(child > 0);
	while (counter < 1000)
		if (!(counter & 1))
			counter++;
	CHECK(write(ends[1], "hi", 2) == 2 && ended(child) == 0);
	CHECK(!close(ends[0]) && !close(ends[1]));
	return 0;
}

static _Atomic int stop;
static long words_of_others[512];

static void *busy(void *arg)
{
	volatile long *mine = &words_of_others[(long)arg * 8];

	while (!stop)
		++*mine;
	return (void *)*mine;
}

/* other threads of the parent go on: what they store is not undone */
static int with_threads(void)
{
	char *words[] = { "x", NULL };
	pthread_t threads[2];
	void *count;
	pid_t child;

	for (long i = 0; i < 2; i++)
		CHECK(!pthread_create(&threads[i], NULL, busy, (void *)i));
	for (int i = 0; i < 30; i++) {
		volatile int local = 0;

		CHECK(posix_spawn(&child, "/there/is/nothing", NULL, NULL, words, environ) == ENOENT);
		if (!(child = vfork()))
			local = 1, _exit(0);
		CHECK(ended(child) == 0 && local == 1);
	}
	stop = 1;
	for (long i = 0; i < 2; i++) {
		CHECK(!pthread_join(threads[i], &count));
		CHECK((long)count == words_of_others[i * 8]);
	}
	return 0;
}

/* a child that asks for memory: the parent's heap is as good as before */
static int amid_malloc(void)
{
	char *all[200];
	pid_t child;

	for (int i = 0; i < 20; i++) {
		if (!(child = vfork())) {
			for (int n = 0; n < 50; n++)
				memset(malloc(10000), 1, 10000);
			_exit(0);
		}
		CHECK(ended(child) == 0);
		for (int n = 0; n < 200; n++)
			CHECK((all[n] = malloc(5000)) && memset(all[n], n, 5000));
		for (int n = 0; n < 200; n++) {
			CHECK(all[n][4999] == (char)n);
			free(all[n]);
		}
	}
	return 0;
}

static int check(void)
{
	return of_vfork() || apart() || of_posix_spawn() || of_clone() || amid_malloc() || with_threads();
}
