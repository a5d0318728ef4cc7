/* SPDX-License-Identifier: GPL-2.0-only */
/* splice between files, pipes and FIFOs: bytes, offsets, waits and errnos. */
#include "fact.h"

static char sent[300000], got[300000];

static void *drain(void *end)
{
	size_t done = 0;

	while (done < sizeof(got)) {
		ssize_t n = read(*(int *)end, got + done, sizeof(got) - done);
		if (n <= 0)
			break;
		done += n;
	}
	return (void *)done;
}

static int is_kept(const int ends[2], const char *path)
{
	struct rlimit limit = { 1000, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
	int small = open(path, O_CREAT | O_RDWR | O_TRUNC, 0644);
	loff_t from = 900;

	signal(SIGXFSZ, SIG_IGN);
	CHECK(small >= 0 && write(ends[1], sent, 300) == 300 && write(ends[1], sent + 300, 300) == 300);
	CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
	CHECK(splice(ends[0], NULL, small, &from, 600, 0) == 100 && from == 1000);
	FAILS(splice(ends[0], NULL, small, &from, 600, 0), EFBIG);
	CHECK(!setrlimit(RLIMIT_FSIZE, &none) && splice(ends[0], NULL, small, &from, 600, 0) == 500);
	CHECK(pread(small, got, 600, 900) == 600 && !memcmp(got, sent, 600));
	return !close(small) && !unlink(path);
}

static int check(void)
{
	int pipes[2], full[2], file, copy, fifo;
	loff_t from = 3;
	size_t done = 0;
	pthread_t thread;
	void *drained;
	ssize_t n;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = i * 7 + i / 256;
	file = open(at(D, "spliced"), O_CREAT | O_RDWR | O_TRUNC, 0644);
	CHECK(file >= 0 && write(file, sent, sizeof(sent)) == sizeof(sent) && !pipe(pipes) && !pipe(full));

	/* with an offset the file's own stays */
	CHECK(splice(file, &from, pipes[1], NULL, 5, 0) == 5 && from == 8 && lseek(file, 0, SEEK_CUR) == sizeof(sent));
	CHECK(read(pipes[0], got, 9) == 5 && !memcmp(got, sent + 3, 5));
	CHECK(splice(file, NULL, pipes[1], NULL, 5, 0) == 0);
	CHECK(lseek(file, 10, SEEK_SET) == 10 && splice(file, NULL, pipes[1], NULL, 5000, 0) == 5000);
	CHECK(lseek(file, 0, SEEK_CUR) == 5010 && read(pipes[0], got, 9000) == 5000 && !memcmp(got, sent + 10, 5000));

	/* back to a file; what is not there is waited for, or not */
	copy = open(at(D, "copy"), O_CREAT | O_RDWR | O_TRUNC, 0644);
	FAILS(splice(pipes[0], NULL, copy, NULL, 5, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK(write(pipes[1], sent, 5000) == 5000);
	from = 7;
	CHECK(splice(pipes[0], NULL, copy, &from, 100, 0) == 100 && from == 107 && lseek(copy, 0, SEEK_CUR) == 0);
	CHECK(splice(pipes[0], NULL, copy, NULL, 7000, 0) == 4900 && lseek(copy, 0, SEEK_CUR) == 4900);
	CHECK(pread(copy, got, 5000, 0) == 4900 && !memcmp(got, sent + 100, 4900));

	/* more than a pipe holds */
	CHECK(lseek(file, 0, SEEK_SET) == 0);
	n = splice(file, NULL, full[1], NULL, sizeof(sent), 0);
	CHECK(n > 0 && n < (ssize_t)sizeof(sent) && lseek(file, 0, SEEK_CUR) == n);
	FAILS(splice(file, NULL, full[1], NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK(!pthread_create(&thread, NULL, drain, &full[0]));
	for (done = n; done < sizeof(sent); done += n)
		CHECK((n = splice(file, NULL, full[1], NULL, sizeof(sent) - done, 0)) > 0);
	CHECK(!pthread_join(thread, &drained) && (size_t)drained == sizeof(got) && !memcmp(got, sent, sizeof(sent)));

	/* a FIFO of the directory, and a file of the host */
	CHECK(!mkfifo(at(D, "splice-fifo"), 0644) && (fifo = open(at(D, "splice-fifo"), O_RDWR)) >= 0);
	int host = open(at(H, "spliced-host"), O_CREAT | O_RDWR | O_TRUNC, 0644);
	CHECK(host >= 0 && write(host, sent, 100) == 100 && lseek(host, 50, SEEK_SET) == 50);
	CHECK(splice(host, NULL, fifo, NULL, 100, 0) == 50 && read(fifo, got, 100) == 50 && !memcmp(got, sent + 50, 50));
	CHECK(write(fifo, sent, 30) == 30 && splice(fifo, NULL, host, NULL, 100, 0) == 30);
	CHECK(pread(host, got, 200, 0) == 130 && !memcmp(got + 100, sent, 30));

	/* what the file does not take stays in the pipe */
	int two[2], ends[2] = { fifo, fifo };
	CHECK(!pipe(two) && is_kept(two, at(D, "small")) && is_kept(two, at(H, "small")) && !close(two[0]) && !close(two[1]));
	CHECK(is_kept(ends, at(D, "small")) && is_kept(ends, at(H, "small")));

	/* what is wrong */
	from = 0;
	FAILS(splice(file, NULL, copy, NULL, 5, 0), EINVAL);
	FAILS(splice(file, NULL, host, NULL, 5, 0), EINVAL);
	FAILS(splice(pipes[0], &from, copy, NULL, 5, 0), ESPIPE);
	FAILS(splice(file, NULL, pipes[1], &from, 5, 0), ESPIPE);
	FAILS(splice(file, NULL, pipes[0], NULL, 5, 0), EBADF);
	FAILS(splice(file, NULL, pipes[1], NULL, 5, 0xff0), EINVAL);
	CHECK(!fcntl(copy, F_SETFL, O_APPEND) && write(pipes[1], "x", 1) == 1);
	FAILS(splice(pipes[0], NULL, copy, NULL, 1, 0), EINVAL);
	CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR && !close(pipes[0]) && lseek(file, 0, SEEK_SET) == 0);
	FAILS(splice(file, NULL, pipes[1], NULL, 5, 0), EPIPE);
	CHECK(lseek(file, 0, SEEK_CUR) == 0);
	CHECK(!unlink(at(D, "spliced")) && !unlink(at(D, "copy")) && !unlink(at(D, "splice-fifo")) && !unlink(at(H, "spliced-host")));
	return 0;
}
