/* SPDX-License-Identifier: GPL-2.0-only */
/* Eight threads at once, threads that come and go, threads with the smallest stack. */
#include "fact.h"

static _Atomic int failures;

#define WANT(condition) do { if (!(condition)) { failures++; \
	fprintf(stderr, "%s:%d: not true: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); return NULL; } } while (0)

static void *work(void *arg)
{
	long id = (long)arg;
	char name[64], other[64], bytes[3000], got[3000];

	for (int i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "thread%ld-%d", id, i);
		snprintf(other, sizeof(other), "thread%ld-%d.moved", id, i);
		memset(bytes, (int)(id * 31 + i), sizeof(bytes));
		int fd = open(at(D, name), O_CREAT | O_EXCL | O_RDWR, 0644);
		WANT(fd >= 0);
		WANT(write(fd, bytes, sizeof(bytes)) == sizeof(bytes));
		WANT(pread(fd, got, sizeof(got), 0) == sizeof(got) && !memcmp(bytes, got, sizeof(got)));
		WANT(!close(fd));
		WANT(!rename(at(D, name), at(D, other)));
		struct stat st;
		WANT(!stat(at(D, other), &st) && st.st_size == sizeof(bytes));
		if (i % 10 == 0) {
			DIR *dir = opendir(D);
			WANT(dir);
			while (readdir(dir))
				;
			WANT(!closedir(dir));
		}
		if (i % 2)
			WANT(!unlink(at(D, other)));
	}
	return NULL;
}

static _Atomic int briefs;

static void *brief(void *arg)
{
	char got[8];
	int fd = open(at(D, "hello.txt"), O_RDONLY);

	(void)arg;
	WANT(fd >= 0 && read(fd, got, 5) == 5 && !memcmp(got, "Hello", 5) && !close(fd));
	briefs++;
	if ((long)arg % 3 == 0)
		pthread_exit(NULL);
	return NULL;
}

static int tasks(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/task");

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static int check(void)
{
	pthread_t threads[8];
	pthread_attr_t small;

	for (long i = 0; i < 8; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, (void *)i));
	for (int i = 0; i < 8; i++)
		CHECK(!pthread_join(threads[i], NULL));
	CHECK(!failures);
	int before = tasks();
	for (long i = 0; i < 300; i++)
		CHECK(!pthread_create(&threads[0], NULL, brief, (void *)i) && !pthread_join(threads[0], NULL) && !failures);
	/* what serves the threads has a few of its own, which come and go */
	EVENTUALLY(tasks() < before + 10);
	/* 300 threads later the kernel still has room: their tasks are gone */
	CHECK(!pthread_attr_init(&small) && !pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN));
	for (long i = 0; i < 20; i++)
		CHECK(!pthread_create(&threads[0], &small, brief, (void *)i) && !pthread_join(threads[0], NULL) && !failures);
	CHECK(!pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED));
	for (long i = 0; i < 50; i++)
		CHECK(!pthread_create(&threads[0], &small, brief, (void *)i));
	EVENTUALLY(briefs == 370);
	CHECK(!failures && !access(at(D, "thread7-148.moved"), F_OK));
	return 0;
}
