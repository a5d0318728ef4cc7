/* SPDX-License-Identifier: GPL-2.0-only */
/* For root: what a thread may do to files goes by its capabilities and not by its user id (capabilities(7)), for each thread
 * by itself, over an exec, and in a user namespace. */
#include "fact.h"
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>

#define DAC_OVERRIDE (1UL << CAP_DAC_OVERRIDE)
#define ALL (~0UL)

static struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };

static void effective(unsigned long set)
{
	struct __user_cap_data_struct data[2];

	CHECK(!syscall(SYS_capget, &head, data));
	data[0].effective = data[0].permitted & set;
	data[1].effective = data[1].permitted & (set >> 32);
	CHECK(!syscall(SYS_capset, &head, data));
}

static void may_nothing(void)
{
	FAILS(open(at(D, "shut"), O_RDONLY), EACCES);
	FAILS(open(at(D, "new"), O_CREAT | O_WRONLY, 0600), EACCES);
	CHECK(chown(at(D, "shut"), 5, 5) == -1);
	FAILS(chmod(at(D, "shut"), 0777), EPERM);
	FAILS(mknod(at(D, "open/device"), S_IFBLK | 0600, makedev(1, 1)), EPERM);
}

static void may_open(void)
{
	int fd = open(at(D, "shut"), O_RDONLY);

	CHECK(fd >= 0 && !close(fd));
}

static void *drops_its_own(void *arg)
{
	(void)arg;
	effective(0);
	may_nothing();
	return NULL;
}

static void *is_another_user(void *arg)
{
	(void)arg;
	CHECK(!syscall(SYS_setresuid, 1000, 1000, 1000));
	may_nothing();
	return NULL;
}

static void in_a_thread(void *(*work)(void *))
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, work, NULL) && !pthread_join(thread, NULL));
	may_open();
}

static void again(const char *role)
{
	execl(SELF, SELF, D, H, role, NULL);
	CHECK(!"executed");
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !close(fd));
}

static void by_set(void)
{
	effective(0);
	may_nothing();
	effective(DAC_OVERRIDE);
	may_open();
	CHECK(chown(at(D, "shut"), 5, 5) == -1);
	effective(1UL << CAP_CHOWN);
	FAILS(open(at(D, "shut"), O_RDONLY), EACCES);
	CHECK(!chown(at(D, "shut"), 5, 5) && !chown(at(D, "shut"), 1, 1));
	effective(ALL);
	may_open();
	CHECK(!setfsuid(1000));
	FAILS(open(at(D, "shut"), O_RDONLY), EACCES);
	CHECK(setfsuid(0) == 1000);
	may_open();
}

static void keeps_what_it_may(void)
{
	CHECK(!prctl(PR_SET_KEEPCAPS, 1) && !setresuid(1000, 1000, 1000));
	may_nothing();
	effective(DAC_OVERRIDE);
	may_open();
	effective(ALL);
	CHECK(!prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) && !setresuid(0, 0, 0));
	may_open();
	/* nothing is fixed up, for access(2) neither */
	CHECK(!setresuid(1000, 1000, 1000) && !access(at(D, "shut"), R_OK));
	may_open();
	CHECK(!setresuid(0, 0, 0) && !prctl(PR_SET_SECUREBITS, 0));
}

static void in_a_namespace(void)
{
	may_open();
	CHECK(!setresgid(1000, 1000, 1000) && !setresuid(1000, 1000, 1000));
	may_nothing();
	CHECK(!prctl(PR_SET_DUMPABLE, 1)); /* else the maps are root's */
	if (unshare(CLONE_NEWUSER))
		return; /* some hosts forbid it */
	may_nothing();
	put("/proc/self/setgroups", "deny");
	put("/proc/self/uid_map", "0 1000 1");
	put("/proc/self/gid_map", "0 1000 1");
	CHECK(getuid() == 0 && !setresuid(0, 0, 0));
	may_nothing();
	FAILS(open(at(D, "of-root"), O_RDONLY), EACCES);
}

static void executed_with_nothing(void)
{
	for (int capability = 0; !prctl(PR_CAPBSET_DROP, capability); capability++)
		;
	again("bounded");
}

static int check(void)
{
	if (!ROLE) {
		CHECK(!mkdir(at(D, "open"), 0777) && !chmod(at(D, "open"), 0777) && !mknod(at(D, "of-root"), S_IFREG | 0600, 0));
		CHECK(!mknod(at(D, "shut"), S_IFREG, 0) && !chmod(at(D, "shut"), 0) && !chown(at(D, "shut"), 1, 1) && !chown(D, 1, 1));
		by_set();
		in_a_thread(drops_its_own);
		in_a_thread(is_another_user);
		again("executed");
	} else if (!strcmp(ROLE, "executed")) {
		may_open();
		keeps_what_it_may();
		pid_t child = fork();
		if (!child)
			executed_with_nothing();
		int status;
		CHECK(waitpid(child, &status, 0) == child && !status);
		in_a_namespace();
	} else {
		may_nothing();
		_exit(0);
	}
	return 0;
}
