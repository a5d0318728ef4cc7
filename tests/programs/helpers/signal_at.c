// SPDX-License-Identifier: GPL-2.0-only
// signal_at SIGNAL N PROGRAM ARGUMENTS...: runs a program, and sends SIGNAL to each of its threads and children as it enters its Nth
// system call, whichever call that is (strace's inject counts each call by itself). Ends as the program ends; with 99 if the
// signal was never sent. An N of 0: standard error tells how many calls the program had made at each execve(2), and at its end.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 256, NEVER = 99 };

static struct { pid_t tid; unsigned calls; int is_inside; } threads[MOST];

// A place for the thread; a place whose tid is 0 is free.
static int place_of(pid_t tid)
{
	int free = -1;
	for (int i = 0; i < MOST; i++) {
		if (threads[i].tid == tid)
			return i;
		if (!threads[i].tid && free < 0)
			free = i;
	}
	if (free < 0) {
		fprintf(stderr, "signal_at: too many threads\n");
		exit(2);
	}
	threads[free].tid = tid;
	threads[free].calls = threads[free].is_inside = 0;
	return free;
}

// What the stopped thread goes on with: a signal or 0.
static int goes_on_with(int place, int status, int sig, unsigned at, int *sent)
{
	int stop = WSTOPSIG(status), event = status >> 16;
	if (event == PTRACE_EVENT_EXEC && !at && !place)
		fprintf(stderr, "exec %u\n", threads[place].calls);
	if (event || stop == SIGSTOP)
		return 0;
	if (stop != (SIGTRAP | 0x80))
		return stop;
	threads[place].is_inside ^= 1;
	if (!threads[place].is_inside || ++threads[place].calls != at)
		return 0;
	*sent = 1;
	return sig;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	int sig = atoi(argv[1]), sent = 0, end = 0, status;
	unsigned at = strtoul(argv[2], NULL, 10);
	pid_t first = fork();
	if (!first) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execv(argv[3], argv + 3);
		_exit(127);
	}
	waitpid(first, &status, 0);
	place_of(first);
	ptrace(PTRACE_SETOPTIONS, first, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
		PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
	ptrace(PTRACE_SYSCALL, first, 0, 0);
	for (;;) {
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			break;
		int place = place_of(tid);
		if (WIFSTOPPED(status)) {
			ptrace(PTRACE_SYSCALL, tid, 0, goes_on_with(place, status, sig, at, &sent));
			continue;
		}
		if (!at && tid == first)
			fprintf(stderr, "end %u\n", threads[place].calls);
		threads[place].tid = 0;
		if (tid == first)
			end = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	return sent ? end : NEVER;
}
