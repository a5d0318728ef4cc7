/* SPDX-License-Identifier: GPL-2.0-only */
/* The signals that files send (fcntl(2), "Managing signals"): SIGIO of O_ASYNC on pipes and of leases, to a process, a thread, another process. */
#include "fact.h"
#include <poll.h>
#include <sys/ioctl.h>

static volatile int count, code, number, from_fd;
static volatile long band;
static volatile pid_t taker;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	count++;
	code = info->si_code;
	number = sig;
	from_fd = info->si_fd;
	band = info->si_band;
	taker = gettid();
}

static void catch_it(int sig)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	CHECK(!sigaction(sig, &action, NULL));
}

static int fifo(const char *name)
{
	int fd;

	(void)!mkfifo(at(D, name), 0600);
	CHECK((fd = open(at(D, name), O_RDWR | O_NONBLOCK)) >= 0);
	return fd;
}

static void drain(int fd)
{
	char bytes[64];

	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
}

static void to_this_process(void)
{
	int fd = fifo("async");

	CHECK(!fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK) && fcntl(fd, F_GETFL) & O_ASYNC);
	/* nobody owns it */
	CHECK(write(fd, "a", 1) == 1 && count == 0);
	CHECK(!fcntl(fd, F_SETOWN, getpid()));
	for (int i = 1; i <= 5; i++) {
		CHECK(write(fd, "a", 1) == 1 && count == i && number == SIGIO && code == SI_KERNEL);
		drain(fd);
		/* a pipe with room tells its writers */
		EVENTUALLY(count >= i);
		count = i;
	}
	count = 0;
	CHECK(!fcntl(fd, F_SETFL, O_NONBLOCK) && write(fd, "a", 1) == 1 && count == 0);
	int on = 1;
	CHECK(!ioctl(fd, FIOASYNC, &on) && write(fd, "a", 1) == 1 && count == 1 && !close(fd));
}

static void with_a_signal_of_its_own(void)
{
	int fd = fifo("async"), sig = SIGRTMIN + 1;

	catch_it(sig);
	drain(fd);
	CHECK(!fcntl(fd, F_SETSIG, sig) && !fcntl(fd, F_SETOWN, getpid()) && !fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	count = 0;
	CHECK(write(fd, "a", 1) == 1 && count == 1);
	CHECK(number == sig && code == POLL_IN && from_fd == fd && band == (POLLIN | POLLRDNORM));
	CHECK(!close(fd));
}

static void while_it_is_blocked(void)
{
	int fd = fifo("async");
	siginfo_t info;
	sigset_t set;

	drain(fd);
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	CHECK(!sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK(!fcntl(fd, F_SETOWN, getpid()) && !fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	count = 0;
	CHECK(write(fd, "a", 1) == 1 && write(fd, "b", 1) == 1 && count == 0);
	CHECK(sigwaitinfo(&set, &info) == SIGIO && info.si_code == SI_KERNEL);
	struct timespec none = { 0, 0 };
	FAILS(sigtimedwait(&set, NULL, &none), EAGAIN);
	CHECK(write(fd, "a", 1) == 1 && !sigprocmask(SIG_UNBLOCK, &set, NULL) && count == 1 && !close(fd));
}

static pid_t its_number;
static volatile int go;

static void *owner(void *arg)
{
	int fd = *(int *)arg;
	struct f_owner_ex self = { F_OWNER_TID, gettid() };

	CHECK(!fcntl(fd, F_SETOWN_EX, &self));
	its_number = gettid();
	go = 1;
	while (go == 1)
		usleep(1000);
	return NULL;
}

static void to_a_thread(void)
{
	int fd = fifo("async");
	pthread_t thread;

	drain(fd);
	go = 0;
	CHECK(!pthread_create(&thread, NULL, owner, &fd));
	EVENTUALLY(go == 1);
	CHECK(!fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	count = 0;
	CHECK(write(fd, "a", 1) == 1);
	EVENTUALLY(count == 1 && taker == its_number);
	CHECK(code == SI_KERNEL && number == SIGIO);
	go = 2;
	CHECK(!pthread_join(thread, NULL) && !close(fd));
}

/* The process is asleep in another call, and the child writes. */
static void from_a_child(int sig)
{
	int fd = fifo("async");

	drain(fd);
	CHECK(!fcntl(fd, F_SETSIG, sig) && !fcntl(fd, F_SETOWN, getpid()) && !fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	count = 0;
	pid_t child = fork();
	if (!child) {
		/* the parent's, not the child's */
		CHECK(fcntl(fd, F_GETOWN) == getppid() && write(fd, "a", 1) == 1 && count == 0);
		_exit(0);
	}
	EVENTUALLY(count >= 1);
	CHECK(number == (sig ? sig : SIGIO) && code == (sig ? POLL_IN : SI_KERNEL) && (!sig || from_fd == fd));
	CHECK(status_of(child) == 0 && !close(fd));
}

static void to_a_child(void)
{
	int fd = fifo("async"), ready[2];
	char byte;

	drain(fd);
	CHECK(!pipe(ready));
	count = 0;
	pid_t child = fork();
	if (!child) {
		catch_it(SIGIO);
		CHECK(write(ready[1], "r", 1) == 1);
		EVENTUALLY(count == 1);
		_exit(code == SI_KERNEL ? 0 : 9);
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	CHECK(!fcntl(fd, F_SETOWN, child) && fcntl(fd, F_GETOWN) == child && !fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	CHECK(write(fd, "a", 1) == 1 && status_of(child) == 0 && count == 0);
	/* nobody is there now */
	CHECK(fcntl(fd, F_GETOWN) == 0 && write(fd, "a", 1) == 1 && !close(fd));
}

static void ends_a_wait(void)
{
	int fd = fifo("async"), other = fifo("other");
	char byte;

	drain(fd);
	CHECK(!fcntl(fd, F_SETOWN, getpid()) && !fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	CHECK(!fcntl(other, F_SETFL, 0));
	count = 0;
	pid_t child = fork();
	if (!child) {
		sleep_ms(100);
		_exit(write(fd, "a", 1) != 1);
	}
	FAILS(read(other, &byte, 1), EINTR);
	CHECK(count == 1 && status_of(child) == 0 && !close(fd) && !close(other));
}

static void of_a_lease(void)
{
	char *path = at(D, "leased");
	int fd = open(path, O_RDONLY | O_CREAT, 0600);

	CHECK(fd >= 0 && !fcntl(fd, F_SETLEASE, F_RDLCK));
	count = 0;
	FAILS(open(path, O_WRONLY | O_NONBLOCK), EAGAIN);
	EVENTUALLY(count == 1);
	CHECK(number == SIGIO && !fcntl(fd, F_SETLEASE, F_UNLCK));
	int writer = open(path, O_WRONLY | O_NONBLOCK);
	CHECK(writer >= 0 && !close(writer) && !close(fd));
}

static int check(void)
{
	int fd;

	catch_it(SIGIO);
	to_this_process();
	with_a_signal_of_its_own();
	while_it_is_blocked();
	to_a_thread();
	from_a_child(0);
	catch_it(SIGUSR2);
	from_a_child(SIGUSR2);
	to_a_child();
	ends_a_wait();
	of_a_lease();
	/* ignored */
	signal(SIGIO, SIG_IGN);
	fd = fifo("async");
	CHECK(!fcntl(fd, F_SETOWN, getpid()) && !fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK) && write(fd, "a", 1) == 1);
	/* the default ends the process */
	pid_t child = fork();
	if (!child) {
		signal(SIGIO, SIG_DFL);
		CHECK(!fcntl(fd, F_SETOWN, getpid()) && write(fd, "a", 1) == 1);
		_exit(0);
	}
	int status = status_of(child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGIO);
	return 0;
}
