/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that are cancelled where they wait, whoever serves the wait and whichever way the call was made; and
 * those that are not to be cancelled. */
#include "fact.h"
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>

#pragma GCC diagnostic ignored "-Wunused-result"

static _Atomic int waiting, cleaned, progress;
static int pipes[2], pair[2], fifo, locked, other;
static sem_t sem;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static FILE *stream;

static void cleanup(void *arg)
{
	char byte;

	(void)arg;
	/* Calls of every kind work while a thread is taken down. */
	FAILS(pread(-1, &byte, 1, 0), EBADF);
	CHECK(!access(at(D, "hello.txt"), F_OK));
	cleaned++;
}

static void by_read(void) { char b; read(pipes[0], &b, 1); }
static void by_readv(void) { char b; struct iovec v = { &b, 1 }; readv(pipes[0], &v, 1); }
static void by_fread(void) { char b; fread(&b, 1, 1, stream); }
static void by_write(void) { static char big[1 << 20]; for (;;) write(pair[0], big, sizeof(big)); }
static void by_recv(void) { char b; recv(pair[0], &b, 1, 0); }
static void by_recvmsg(void) { struct msghdr m = { 0 }; recvmsg(pair[0], &m, 0); }
static void by_poll(void) { struct pollfd p = { pipes[0], POLLIN, 0 }; poll(&p, 1, -1); }
static void by_ppoll(void) { struct pollfd p = { pipes[0], POLLIN, 0 }; ppoll(&p, 1, NULL, NULL); }
static void by_select(void) { fd_set s; FD_ZERO(&s); FD_SET(pipes[0], &s); select(pipes[0] + 1, &s, NULL, NULL, NULL); }
static void by_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int set = epoll_create1(0);

	CHECK(!epoll_ctl(set, EPOLL_CTL_ADD, pipes[0], &event));
	epoll_wait(set, &event, 1, -1);
}
static void by_nanosleep(void) { struct timespec t = { 1000, 0 }; nanosleep(&t, NULL); }
static void by_sleep(void) { sleep(1000); }
static void by_pause(void) { pause(); }
static void by_sigsuspend(void) { sigset_t s; sigemptyset(&s); sigsuspend(&s); }
static void by_sigwait(void) { sigset_t s; int n; sigemptyset(&s); sigaddset(&s, SIGUSR2); sigwait(&s, &n); }
static void by_sem_wait(void) { sem_wait(&sem); }
static void unlock(void *m) { pthread_mutex_unlock(m); }
static void by_cond_wait(void)
{
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(unlock, &mutex);
	for (;;)
		pthread_cond_wait(&cond, &mutex);
	pthread_cleanup_pop(1);
}
static void *forever(void *arg) { pause(); return arg; }
static pthread_t sleeper;
static void by_join(void) { pthread_join(sleeper, NULL); }
static void by_waitpid(void) { waitpid(-1, NULL, 0); }
static void by_fifo_read(void) { char b; read(fifo, &b, 1); }
static void by_fifo_fread(void) { char b; FILE *f = fdopen(dup(fifo), "r"); fread(&b, 1, 1, f); }
static void by_fifo_open(void) { open(at(D, "fifo2"), O_RDONLY); }
static void by_fifo_fopen(void) { fopen(at(D, "fifo2"), "r"); }
static void by_fifo_poll(void) { struct pollfd p = { fifo, POLLIN, 0 }; poll(&p, 1, -1); }
static void by_fifo_ppoll(void) { struct pollfd p = { fifo, POLLIN, 0 }; ppoll(&p, 1, NULL, NULL); }
static void by_lock(void) { struct flock l = { .l_type = F_WRLCK }; fcntl(other, F_OFD_SETLKW, &l); }
static void by_testcancel(void) { for (;;) { pthread_testcancel(); sched_yield(); } }
static void by_loop_of_calls(void) { for (;;) { char b; pread(locked, &b, 1, 0); } }
static void by_loop_of_stdio(void) { for (;;) { FILE *f = fopen(at(D, "hello.txt"), "r"); char b; fread(&b, 1, 1, f); fclose(f); } }
static void by_busy_loop(void)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		progress++;
}
static void by_busy_calls(void)
{
	char b;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		pread(locked, &b, 1, 0), getppid();
}
/* Nothing is to be put off until a next call: there is none. */
static void by_last_call(void)
{
	char b;
	long r, offset = 0;
	register long r10 __asm__("r10") = offset;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (int n = 0; n < 30; n++)
		__asm__ volatile("syscall" : "=a"(r) : "0"((long)SYS_pread64), "D"((long)locked), "S"(&b), "d"(1L), "r"(r10)
				 : "rcx", "r11", "memory");
	for (;;)
		progress++;
}
static void by_busy_read(void) { pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL); by_read(); }

static void no_op(int n) { (void)n; }
/* A request that comes while a handler runs on top of the wait. */
static volatile int in_handler;
static void long_handler(int n) { (void)n; in_handler = 1; for (double end = now_s() + 0.05; now_s() < end;) ; }

/* A wait that a handler ends in spite of SA_RESTART; one that must not be left from a handler. */
enum { ENDS = 1, LOCKS = 2 };
static struct way { const char *name; void (*wait)(void); int flags; } ways[] = {
#define WAY(name, ...) { #name, by_##name, __VA_ARGS__ }
	WAY(read), WAY(readv), WAY(fread), WAY(write), WAY(recv), WAY(recvmsg), WAY(poll, ENDS), WAY(ppoll, ENDS), WAY(select, ENDS),
	WAY(epoll, ENDS), WAY(nanosleep, ENDS), WAY(sleep, ENDS), WAY(pause, ENDS), WAY(sigsuspend, ENDS), WAY(sigwait, LOCKS), WAY(sem_wait), WAY(cond_wait, LOCKS),
	WAY(join), WAY(waitpid), WAY(fifo_read), WAY(fifo_fread), WAY(fifo_open), WAY(fifo_fopen), WAY(fifo_poll, ENDS), WAY(fifo_ppoll, ENDS),
	WAY(lock), WAY(testcancel), WAY(loop_of_calls, LOCKS), WAY(loop_of_stdio, ENDS | LOCKS), WAY(busy_loop), WAY(busy_calls, LOCKS), WAY(last_call, LOCKS), WAY(busy_read),
};

static unsigned the_way(const char *name)
{
	for (unsigned i = 0;; i++)
		if (!strcmp(ways[i].name, name))
			return i;
}

static void *run(void *arg)
{
	struct way *way = arg;

	pthread_cleanup_push(cleanup, NULL);
	waiting = 1;
	way->wait();
	printf("%s came back: errno %d\n", way->name, errno);
	fflush(stdout);
	_exit(1);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *run_pending(void *arg)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	waiting = 1;
	while (waiting == 1)
		sched_yield();
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	return run(arg);
}

static void prepare(void)
{
	CHECK(!pipe(pipes) && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && (stream = fdopen(dup(pipes[0]), "r")));
	waiting = cleaned = progress = in_handler = 0;
}

static void finish(pthread_t thread)
{
	void *result = NULL;

	CHECK(!pthread_join(thread, &result) && result == PTHREAD_CANCELED && cleaned == 1);
	close(pipes[0]), close(pipes[1]), close(pair[0]), close(pair[1]);
	/* The stream may be locked for good by the thread. */
}

static void cancelled(struct way *way, long after_us)
{
	struct timespec t = { 0, after_us * 1000 };
	pthread_t thread;

	prepare();
	CHECK(!pthread_create(&thread, NULL, run, way));
	while (!waiting)
		sched_yield();
	if (after_us)
		nanosleep(&t, NULL);
	CHECK(!pthread_cancel(thread));
	finish(thread);
}

/* Cancelled a few nanoseconds after it began. */
static void cancelled_at(struct way *way, long after_ns)
{
	pthread_t thread;
	double end;

	prepare();
	CHECK(!pthread_create(&thread, NULL, run, way));
	while (!waiting)
		;
	for (end = now_s() + after_ns * 1e-9; now_s() < end;)
		;
	CHECK(!pthread_cancel(thread));
	finish(thread);
}

static void pending(struct way *way)
{
	pthread_t thread;

	prepare();
	CHECK(!pthread_create(&thread, NULL, run_pending, way));
	while (!waiting)
		sched_yield();
	CHECK(!pthread_cancel(thread));
	waiting = 2;
	finish(thread);
}

static void under_a_handler(struct way *way)
{
	pthread_t thread;

	prepare();
	CHECK(!pthread_create(&thread, NULL, run, way));
	while (!waiting)
		sched_yield();
	sleep_ms(10);
	CHECK(!pthread_kill(thread, SIGUSR1));
	while (!in_handler)
		sched_yield();
	CHECK(!pthread_cancel(thread));
	finish(thread);
}

/* Not cancelled while disabled: the call goes on, with its result. */
static struct disabled { int fd, stdio; ssize_t got; int error; } disabled;
static void *disabled_reader(void *arg)
{
	struct disabled *d = arg;
	struct pollfd p = { d->fd, POLLIN, 0 };
	char byte = 0;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_push(cleanup, NULL);
	waiting = 1;
	errno = 0;
	if (d->stdio) {
		FILE *f = fdopen(dup(d->fd), "r");
		d->got = fread(&byte, 1, 1, f);
	} else if (poll(&p, 1, -1) == 1)
		d->got = read(d->fd, &byte, 1);
	else
		d->got = -2;
	d->error = errno;
	CHECK(byte == 'x');
	waiting = 2;
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	read(-1, &byte, 1);
	CHECK(!"reached");
	pthread_cleanup_pop(0);
	return NULL;
}

static void not_cancelled(int fd, int to, int stdio)
{
	pthread_t thread;

	prepare();
	disabled = (struct disabled){ fd < 0 ? pipes[0] : fd, stdio, 0, 0 };
	CHECK(!pthread_create(&thread, NULL, disabled_reader, &disabled));
	while (!waiting)
		sched_yield();
	sleep_ms(10);
	CHECK(!pthread_cancel(thread) && !pthread_cancel(thread));
	sleep_ms(10);
	CHECK(waiting == 1 && !cleaned);
	CHECK(write(to < 0 ? pipes[1] : to, "x", 1) == 1);
	finish(thread);
	CHECK(waiting == 2 && disabled.got == 1 && disabled.error == 0);
}

/* pthread_exit in a handler on top of a wait. */
static void leave(int number) { (void)number; pthread_exit(PTHREAD_CANCELED); }
static void exit_in_a_handler(struct way *way)
{
	pthread_t thread;

	prepare();
	CHECK(!pthread_create(&thread, NULL, run, way));
	while (!waiting)
		sched_yield();
	sleep_ms(10);
	CHECK(!pthread_kill(thread, SIGUSR2));
	finish(thread);
}

static int check(void)
{
	struct sigaction action = { .sa_handler = long_handler, .sa_flags = SA_RESTART }, out = { .sa_handler = leave };
	struct flock whole = { .l_type = F_WRLCK };
	int writer;

	setvbuf(stdout, NULL, _IONBF, 0);
	signal(SIGPIPE, no_op);
	CHECK(!sigaction(SIGUSR1, &action, NULL) && !sigaction(SIGUSR2, &out, NULL) && !sem_init(&sem, 0, 0));
	pid_t child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	CHECK(!pthread_create(&sleeper, NULL, forever, NULL));
	CHECK(access(at(D, "fifo"), F_OK) == 0 || !mkfifo(at(D, "fifo"), 0600));
	CHECK(!mkfifo(at(D, "fifo2"), 0600));
	fifo = open(at(D, "fifo"), O_RDWR);
	writer = open(at(D, "fifo"), O_WRONLY);
	locked = open(at(D, "lock"), O_CREAT | O_RDWR, 0600), other = open(at(D, "lock"), O_RDWR);
	CHECK(fifo >= 0 && writer >= 0 && locked >= 0 && other >= 0 && !fcntl(locked, F_OFD_SETLK, &whole));
	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		cancelled(&ways[i], 10000);
		for (int n = 0; n < 12; n++)
			cancelled(&ways[i], n);
		pending(&ways[i]);
		if (!(ways[i].flags & ENDS))
			under_a_handler(&ways[i]);
		if (!(ways[i].flags & LOCKS))
			exit_in_a_handler(&ways[i]);
	}
	/* What is rare of those: in the last instructions of a call. */
	for (int n = 0; n < 300; n++) {
		cancelled_at(&ways[the_way("loop_of_stdio")], n * 50);
		cancelled_at(&ways[the_way("last_call")], n * 50);
	}
	for (int stdio = 0; stdio < 2; stdio++) {
		not_cancelled(-1, -1, stdio);
		not_cancelled(fifo, writer, stdio);
	}
	CHECK(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
	return 0;
}
