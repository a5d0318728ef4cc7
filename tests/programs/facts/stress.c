/* SPDX-License-Identifier: GPL-2.0-only */
/* Mixed work by threads that come and go: files, directories, an appended file, named pipes, sockets on lo, waits and
 * plain computing, all at once, every byte checked. SECONDS says how long, SEED which jobs. One that makes no progress
 * for 30 seconds ends the run: nothing may hang. */
#include "fact.h"
#include <arpa/inet.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { WORKERS = 10, STALL_S = 30, FILE_MAX = 128 << 10, RECORD = 64, LOG_MAX = 1 << 20 };

/* One job of one thread. */
struct job {
	pthread_t thread;
	void (*work)(struct job *);
	const char *name;
	uint32_t random;
	unsigned number;
	int fd; /* of a partner */
	char names[4][512];
	unsigned next_name;
	_Atomic int is_done;
	_Atomic double beat_s;
};

static struct job *jobs[WORKERS];

#define WANT(condition) do { \
	errno = 0; \
	if (!(condition)) { \
		int why = errno; \
		printf("%s:%d: job %u (%s): not true: %s (errno %d: %s)\n", __FILE__, __LINE__, job->number, job->name, #condition, why, strerror(why)); \
		fflush(stdout); \
		_exit(1); \
	} \
} while (0)

static uint32_t any(struct job *job, uint32_t below)
{
	job->random = job->random * 1664525 + 1013904223;
	return (job->random >> 8) % below;
}

static void beat(struct job *job)
{
	job->beat_s = now_s();
}

/* What byte `at` of a stream or file with this key is. */
static unsigned char byte_of(uint32_t key, size_t at)
{
	return (key * 31 + at * 7 + (at >> 8)) & 0xff;
}

static void fill(unsigned char *bytes, size_t count, uint32_t key, size_t at)
{
	for (size_t i = 0; i < count; i++)
		bytes[i] = byte_of(key, at + i);
}

/* A path of the directory, good for four calls. (The memory of at() stays when a thread goes.) */
static char *path_of(struct job *job, const char *name)
{
	char *path = job->names[job->next_name++ % 4];

	snprintf(path, sizeof(job->names[0]), "%s/%s", D, name);
	return path;
}

static char *name_of(struct job *job, const char *kind, unsigned extra)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-%u-%u", kind, job->number, extra);
	return path_of(job, name);
}

/* ---- files: random writes, truncations and reads against a copy in memory. */
static void files(struct job *job)
{
	unsigned char *copy = calloc(1, FILE_MAX), *got = malloc(FILE_MAX), name = 0;
	size_t size = 0, from, count;
	int fd = open(name_of(job, "file", name), O_CREAT | O_EXCL | O_RDWR, 0644);
	struct stat st;

	WANT(copy && got && fd >= 0);
	for (int left = 20 + any(job, 200); left; left--, beat(job)) {
		from = any(job, FILE_MAX - 1);
		count = 1 + any(job, any(job, 4) ? 6000 : FILE_MAX);
		count = count > FILE_MAX - from ? FILE_MAX - from : count;
		switch (any(job, 10)) {
		case 0 ... 3:
			fill(copy + from, count, any(job, 1 << 20), from);
			WANT(pwrite(fd, copy + from, count, from) == (ssize_t)count);
			size = size > from + count ? size : from + count;
			break;
		case 4:
			WANT(!ftruncate(fd, from));
			if (from < size)
				memset(copy + from, 0, size - from);
			size = from;
			break;
		case 5:
			WANT(!(any(job, 4) ? fdatasync(fd) : fsync(fd)));
			break;
		case 6:
			WANT(!rename(name_of(job, "file", name), name_of(job, "file", name + 1)) && !close(fd));
			WANT((fd = open(name_of(job, "file", ++name), O_RDWR)) >= 0);
			break;
		default:
			count = from >= size ? 0 : count > size - from ? size - from : count;
			WANT(pread(fd, got, count ? count : 1, from) == (ssize_t)count && !memcmp(got, copy + from, count));
		}
	}
	WANT(!fstat(fd, &st) && st.st_size == (off_t)size);
	WANT(!close(fd) && !unlink(name_of(job, "file", name)));
	free(copy);
	free(got);
}

/* ---- directories: names made, listed, moved and removed. */
static void directories(struct job *job)
{
	char *top = strdup(name_of(job, "tree", 0)), from[PATH_MAX + 32], to[PATH_MAX + 32];
	int count = 1 + any(job, 60), seen = 0;
	struct dirent *entry;

	WANT(!mkdir(top, 0755));
	for (int i = 0; i < count; i++, beat(job)) {
		snprintf(from, sizeof(from), "%s/entry-%d", top, i);
		snprintf(to, sizeof(to), "%s/other-%d", top, i);
		int fd = i % 3 ? open(from, O_CREAT | O_EXCL | O_WRONLY, 0600) : mkdir(from, 0700);
		WANT(fd >= 0 && (i % 3 == 0 || (write(fd, to, i) == i && !close(fd))) && (i % 2 || !rename(from, to)));
	}
	DIR *dir = opendir(top);
	WANT(dir);
	while ((entry = readdir(dir)))
		seen += *entry->d_name != '.';
	WANT(!closedir(dir) && seen == count && rmdir(top) && errno == ENOTEMPTY);
	for (int i = 0; i < count; i++, beat(job)) {
		snprintf(from, sizeof(from), "%s/%s-%d", top, i % 2 ? "entry" : "other", i);
		WANT(!(i % 3 ? unlink(from) : rmdir(from)));
	}
	WANT(!rmdir(top));
	free(top);
}

/* ---- one file that all append records to; when it is full, whoever comes next reads it and starts another. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned log_at, log_written;

static void read_log(struct job *job)
{
	char record[RECORD], *path = strdup(path_of(job, "log"));
	FILE *file = fopen(path, "r");
	unsigned count = 0, number, of;

	WANT(file);
	for (; fread(record, RECORD, 1, file) == 1; count++)
		WANT(sscanf(record, "job %u record %u", &number, &of) == 2 && record[RECORD - 1] == '\n');
	WANT(!fclose(file) && count == log_written && !unlink(path));
	log_at = log_written = 0;
	free(path);
}

static void appends(struct job *job)
{
	char record[RECORD + 1];
	int count = 1 + any(job, 100);

	pthread_mutex_lock(&log_lock);
	if (log_at + count > LOG_MAX / RECORD && log_at == log_written)
		read_log(job);
	int is_full = log_at + count > LOG_MAX / RECORD;
	if (!is_full)
		log_at += count;
	pthread_mutex_unlock(&log_lock);
	if (is_full)
		return;
	int fd = open(path_of(job, "log"), O_CREAT | O_WRONLY | O_APPEND, 0644);
	WANT(fd >= 0);
	for (int i = 0; i < count; i++, beat(job)) {
		snprintf(record, sizeof(record), "job %u record %d", job->number, i);
		memset(record + strlen(record), ' ', RECORD - strlen(record));
		record[RECORD - 1] = '\n';
		WANT(write(fd, record, RECORD) == RECORD);
	}
	WANT(!close(fd));
	pthread_mutex_lock(&log_lock);
	log_written += count;
	pthread_mutex_unlock(&log_lock);
}

/* ---- streams: a partner thread sends so many bytes in pieces of its own; both know each byte. */
static void send_stream(struct job *job)
{
	unsigned char bytes[8192];
	size_t total = 1 + any(job, 400000);

	/* how many, then the bytes */
	WANT(write(job->fd, &total, sizeof(total)) == sizeof(total));
	for (size_t sent = 0; sent < total; beat(job)) {
		size_t count = 1 + any(job, any(job, 3) ? 300 : sizeof(bytes));
		count = count > total - sent ? total - sent : count;
		fill(bytes, count, job->number, sent);
		ssize_t n = write(job->fd, bytes, count);
		WANT(n > 0);
		sent += n;
	}
	WANT(!close(job->fd));
}

static void receive_stream(struct job *job, int fd, uint32_t key)
{
	unsigned char bytes[8192];
	size_t total, got = 0;
	ssize_t n;

	WANT(read(fd, &total, sizeof(total)) == sizeof(total));
	while ((n = read(fd, bytes, 1 + any(job, sizeof(bytes) - 1))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			WANT(bytes[i] == byte_of(key, got + i));
		got += n;
		beat(job);
	}
	WANT(n == 0 && got == total && !close(fd));
}

/* ---- questions and answers of one byte, each of which waits for the other side. */
static void answer(struct job *job)
{
	char byte;

	while (read(job->fd, &byte, 1) == 1) {
		byte++;
		WANT(write(job->fd, &byte, 1) == 1);
		beat(job);
	}
	WANT(!close(job->fd));
}

static void ask(struct job *job, int fd)
{
	unsigned char byte, back;

	for (int left = 20 + any(job, 400); left; left--, beat(job)) {
		byte = left;
		struct pollfd waits = { fd, POLLIN, 0 };
		WANT(write(fd, &byte, 1) == 1 && (left % 2 || poll(&waits, 1, STALL_S * 1000) == 1));
		WANT(read(fd, &back, 1) == 1 && back == (unsigned char)(byte + 1));
	}
	WANT(!close(fd));
}

static void *run(void *arg)
{
	struct job *job = arg;

	job->work(job);
	job->is_done = 1;
	if (job->number % 3 == 0)
		pthread_exit(NULL);
	return NULL;
}

/* A second thread of the job, with a generator of its own. */
static struct job partner_of(struct job *job, void (*work)(struct job *), int fd)
{
	return (struct job){ .work = work, .name = "partner", .random = any(job, 1 << 24), .number = job->number, .fd = fd, .beat_s = now_s() };
}

static void open_and_send(struct job *job)
{
	WANT((job->fd = open(name_of(job, "fifo", 0), O_WRONLY)) >= 0);
	send_stream(job);
}

static void pipes(struct job *job)
{
	struct job partner = partner_of(job, open_and_send, -1);

	WANT(!mkfifo(name_of(job, "fifo", 0), 0600));
	WANT(!pthread_create(&partner.thread, NULL, run, &partner));
	int fd = open(name_of(job, "fifo", 0), O_RDONLY);
	WANT(fd >= 0);
	receive_stream(job, fd, job->number);
	WANT(!pthread_join(partner.thread, NULL) && !unlink(name_of(job, "fifo", 0)));
}

/* A connected pair over lo. */
static void connection(struct job *job, int pair[2])
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(to);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	WANT(listening >= 0 && !bind(listening, (void *)&to, size) && !listen(listening, 1) && !getsockname(listening, (void *)&to, &size));
	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	WANT(pair[0] >= 0 && !connect(pair[0], (void *)&to, size) && (pair[1] = accept(listening, NULL, NULL)) >= 0 && !close(listening));
}

static void sockets(struct job *job)
{
	int pair[2], is_stream = any(job, 2);

	connection(job, pair);
	struct job partner = partner_of(job, is_stream ? send_stream : answer, pair[1]);
	WANT(!pthread_create(&partner.thread, NULL, run, &partner));
	if (is_stream)
		receive_stream(job, pair[0], job->number);
	else
		ask(job, pair[0]);
	WANT(!pthread_join(partner.thread, NULL));
}

/* ---- waits with a limit: never shorter, and not endless. */
static void waits(struct job *job)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct epoll_event event = { .events = EPOLLIN }, got;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), poller = epoll_create1(EPOLL_CLOEXEC);

	WANT(fd >= 0 && poller >= 0 && !bind(fd, (void *)&here, sizeof(here)) && !epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
	for (int left = 1 + any(job, 20); left; left--, beat(job)) {
		int limit_ms = 1 + any(job, 8);
		double start = now_s();
		struct pollfd nothing = { fd, POLLIN, 0 };
		WANT((left % 2 ? epoll_wait(poller, &got, 1, limit_ms) : poll(&nothing, 1, limit_ms)) == 0);
		WANT(now_s() - start >= limit_ms / 1e3 - 1e-4);
	}
	WANT(!close(poller) && !close(fd));
}

/* ---- a thread that is hardly there. */
static void visit(struct job *job)
{
	struct stat st;

	WANT(!stat(D, &st) && S_ISDIR(st.st_mode));
}

/* ---- no call at all for some milliseconds: whatever is due must happen without this thread. */
static void compute(struct job *job)
{
	volatile unsigned sum = 0;

	for (double end = now_s() + any(job, 20) / 1e3; now_s() < end; beat(job))
		for (int i = 0; i < 20000; i++)
			sum += i;
}

static const struct kind {
	const char *name;
	void (*work)(struct job *);
	int weight;
} kinds[] = {
	{ "files", files, 5 }, { "directories", directories, 3 }, { "appends", appends, 3 }, { "pipes", pipes, 3 },
	{ "sockets", sockets, 4 }, { "waits", waits, 2 }, { "visit", visit, 5 }, { "compute", compute, 2 },
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static unsigned done[KINDS];

static struct job *start(struct job *job, uint32_t seed, unsigned number)
{
	int total = 0, kind = 0;

	job = calloc(1, sizeof(*job));
	WANT(job);
	*job = (struct job){ .random = seed * 2654435761u + number * 40503u, .number = number, .beat_s = now_s() };
	for (int i = 0; i < KINDS; i++)
		total += kinds[i].weight;
	for (int drawn = any(job, total); (drawn -= kinds[kind].weight) >= 0; kind++)
		;
	job->work = kinds[kind].work;
	job->name = kinds[kind].name;
	done[kind]++;
	WANT(!pthread_create(&job->thread, NULL, run, job));
	return job;
}

/* Waits for the jobs that are over, and for none that stands still. */
static int reap(void)
{
	int alive = 0;

	for (int i = 0; i < WORKERS; i++) {
		struct job *job = jobs[i];
		if (!job)
			continue;
		if (job->is_done) {
			WANT(!pthread_join(job->thread, NULL));
			free(job);
			jobs[i] = NULL;
			continue;
		}
		alive++;
		WANT(now_s() - job->beat_s < STALL_S);
	}
	return alive;
}

static int check(void)
{
	double seconds = atof(getenv("SECONDS") ?: "1");
	uint32_t seed = atol(getenv("SEED") ?: "1");
	unsigned number = 0;
	struct job last = { .name = "the end" }, *job = &last;

	signal(SIGPIPE, SIG_IGN);
	for (double end = now_s() + seconds; now_s() < end; sleep_ms(1)) {
		reap();
		for (int i = 0; i < WORKERS; i++)
			if (!jobs[i])
				jobs[i] = start(NULL, seed, number++);
	}
	while (reap())
		sleep_ms(1);
	if (log_written)
		read_log(job);
	printf("seed %u, %u jobs:", seed, number);
	for (int i = 0; i < KINDS; i++) {
		WANT(done[i] > 0);
		printf(" %s %u", kinds[i].name, done[i]);
	}
	puts("");
	return 0;
}
