/* SPDX-License-Identifier: GPL-2.0-only */
/* For root: whoever the process becomes, the file system knows it; as root, as another user, with groups, per thread. */
#include "fact.h"
#include <grp.h>

static void *in_a_thread(void *arg)
{
	(void)arg;
	FAILS(open(at(D, "private/secret"), O_RDONLY), EACCES);
	return NULL;
}

static int check(void)
{
	struct stat st;
	pthread_t thread;
	gid_t groups[2] = { 5, 4242 };

	umask(022);
	CHECK(!mkdir(at(D, "private"), 0700) && !mkdir(at(D, "shared"), 0777) && !chmod(at(D, "shared"), 0777));
	int fd = open(at(D, "private/secret"), O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0 && !mkdir(at(D, "ofgroup"), 0770) && !chmod(at(D, "ofgroup"), 0770) && !chown(at(D, "ofgroup"), 0, 4242));
	CHECK(!setgroups(2, groups) && !setegid(1001) && !seteuid(1000));
	FAILS(open(at(D, "private/secret"), O_RDONLY), EACCES);
	FAILS(mkdir(at(D, "private/x"), 0700), EACCES);
	FAILS(chmod(at(D, "private"), 0777), EPERM);
	CHECK(write(fd, "open already", 12) == 12);
	int mine = open(at(D, "shared/mine"), O_CREAT | O_RDWR, 0644);
	CHECK(mine >= 0 && !fstat(mine, &st) && st.st_uid == 1000 && st.st_gid == 1001 && !close(mine));
	CHECK((mine = open(at(D, "ofgroup/mine"), O_CREAT | O_RDWR, 0644)) >= 0 && !close(mine));
	CHECK(access(at(D, "private/secret"), R_OK) == 0); /* access asks for the real user: still root */
	CHECK(eaccess(at(D, "private/secret"), R_OK) == -1);
	CHECK(!pthread_create(&thread, NULL, in_a_thread, NULL) && !pthread_join(thread, NULL));
	CHECK(!seteuid(0) && !setegid(0) && !setgroups(0, NULL));
	CHECK((mine = open(at(D, "private/secret"), O_RDONLY)) >= 0 && !close(mine));
	CHECK(!setresgid(1001, 1001, 1001) && !setresuid(1000, 1000, 1000));
	FAILS(open(at(D, "ofgroup/mine"), O_RDONLY), EACCES);
	FAILS(open(at(D, "private/secret"), O_RDONLY), EACCES);
	FAILS(access(at(D, "private/secret"), R_OK), EACCES);
	FAILS(chown(at(D, "shared/mine"), 0, 0), EPERM);
	return 0;
}
