/* SPDX-License-Identifier: GPL-2.0-only */
/* Who the process is, by every call that says so, and what it can do then: as root, as others, and as root again; in
 * threads, children, and over exec. It prints what it finds: natively as root, and with `as=root`, the lines are the same.
 * The third argument is a program that is linked statically, and prints the same lines of itself. */
#include "fact.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>

static const char *STATIC;

/* Those that root has in a container as well: chown, dac_override, fowner, fsetid, setgid, setuid, setpcap, mknod, setfcap. */
#define SEEN (1UL << 0 | 1UL << 1 | 1UL << 3 | 1UL << 4 | 1UL << 6 | 1UL << 7 | 1UL << 8 | 1UL << 27 | 1UL << 31)

static void who(const char *when)
{
	uid_t u[3];
	gid_t g[3], groups[8];
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[2];
	unsigned long bounding = 0, ambient = 0;

	CHECK(!getresuid(&u[0], &u[1], &u[2]) && !getresgid(&g[0], &g[1], &g[2]));
	CHECK(getuid() == u[0] && geteuid() == u[1] && getgid() == g[0] && getegid() == g[1]);
	int n = getgroups(8, groups);
	CHECK(n >= 0 && !syscall(SYS_capget, &head, sets));
	for (int i = 0; i <= 40; i++) {
		bounding |= (unsigned long)prctl(PR_CAPBSET_READ, i) << i;
		ambient |= (unsigned long)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) << i;
	}
	printf("%s: %d %d %d, %d %d %d, files %d %d; groups", when, u[0], u[1], u[2], g[0], g[1], g[2],
	       (int)syscall(SYS_setfsuid, -1), (int)syscall(SYS_setfsgid, -1));
	for (int i = 0; i < n; i++)
		printf(" %d", groups[i]);
	printf("; effective %lx permitted %lx inheritable %lx bounding %lx ambient %lx securebits %d keep %d\n",
	       sets[0].effective & SEEN, sets[0].permitted & SEEN, sets[0].inheritable & SEEN, bounding & SEEN,
	       ambient & SEEN, prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS));
	fflush(stdout);
}

/* Whose a new file is. */
static void makes(const char *name)
{
	struct stat st;
	int fd = open(at(D, name), O_CREAT | O_EXCL | O_RDWR, 0644);

	if (fd < 0) {
		printf("%s: errno %d\n", name, errno);
		return;
	}
	CHECK(!fstat(fd, &st) && !close(fd));
	printf("%s: %d %d %o\n", name, st.st_uid, st.st_gid, st.st_mode);
	fflush(stdout);
}

static void tries(const char *what, long result)
{
	int why = errno;

	printf("%s: %s %d\n", what, result < 0 ? "errno" : "is", result < 0 ? why : 0);
	fflush(stdout);
}

static void *in_a_thread(void *arg)
{
	(void)arg;
	/* The raw call is the thread's own affair. */
	CHECK(!syscall(SYS_setresuid, -1, 1234, -1));
	who("thread");
	makes("open/by_thread");
	tries("the thread reads", open(at(D, "private/secret"), O_RDONLY));
	return NULL;
}

static void *waits(void *arg)
{
	int *told = arg;

	while (!__atomic_load_n(told, __ATOMIC_ACQUIRE))
		sleep_ms(1);
	who("thread that libc told");
	makes("open/by_told_thread");
	return NULL;
}

static void *makes_a_thread(void *arg)
{
	pthread_t inner;

	CHECK(!syscall(SYS_setresgid, -1, 77, -1) && !syscall(SYS_setresuid, -1, 1234, -1));
	CHECK(!pthread_create(&inner, NULL, arg, NULL) && !pthread_join(inner, NULL));
	return NULL;
}

static void *born(void *arg)
{
	(void)arg;
	who("thread of a thread");
	makes("open/by_inner_thread");
	return NULL;
}

static void in_a_child(const char *when, void (*work)(void))
{
	int status;
	pid_t child = fork();

	CHECK(child >= 0);
	if (!child) {
		who(when);
		work();
		fflush(stdout);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	printf("%s: ended with %x\n", when, status);
	fflush(stdout);
}

static void nothing(void)
{
}

static void executes(const char *file, char *role)
{
	char *const argv[] = { (char *)file, (char *)D, (char *)H, (char *)STATIC, role, NULL };

	fflush(stdout);
	execv(file, argv);
	printf("exec %s: errno %d\n", role, errno);
	fflush(stdout);
	_exit(9);
}

static void itself(void)
{
	executes(SELF, "exec");
}

static void the_static_one(void)
{
	executes(STATIC, "static");
}

static void a_script(void)
{
	executes(at(D, "script"), "script");
}

static void becomes_another(void)
{
	CHECK(!setgroups(2, (gid_t[]){ 9, 5 }) && !setgid(1001) && !setuid(1000));
	who("another");
	makes("open/by_another");
	tries("the other one reads", open(at(D, "private/secret"), O_RDONLY));
	tries("back to root", setuid(0));
	tries("groups", setgroups(0, NULL));
	tries("a device", mknod(at(D, "open/device"), S_IFCHR | 0600, makedev(1, 3)));
	tries("an owner", chown(at(D, "open/by_another"), 0, 0));
	itself();
}

static void runs_a_setuid_file(void)
{
	CHECK(!setgid(1001) && !setuid(1000));
	executes(at(D, "setuid"), "setuid");
}

static void runs_a_setgid_file(void)
{
	CHECK(!setgid(1001) && !setuid(1000));
	executes(at(D, "setgid"), "setgid");
}

static void runs_a_capable_file(void)
{
	CHECK(!setgid(1001) && !setuid(1000));
	executes(at(D, "capable"), "capable");
}

static void keeps(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[2] = { { 1 << CAP_CHOWN, 1 << CAP_CHOWN, 1 << CAP_CHOWN }, { 0, 0, 0 } };

	CHECK(!prctl(PR_SET_KEEPCAPS, 1) && !setresuid(1000, 1000, 1000));
	who("kept");
	CHECK(!syscall(SYS_capset, &head, sets));
	makes("open/by_keeper");
	tries("chown alone", chown(at(D, "open/by_keeper"), 5, 5));
	tries("and no more", open(at(D, "private/secret"), O_RDONLY));
	CHECK(!prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
	itself();
}

static void not_root_at_exec(void)
{
	CHECK(!prctl(PR_CAPBSET_DROP, CAP_MKNOD) && !prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
	CHECK(!seteuid(1000));
	who("without the fixup");
	CHECK(!seteuid(0) && !prctl(PR_SET_SECUREBITS, SECBIT_NOROOT));
	itself();
}

static void copy(const char *name, mode_t mode)
{
	char room[65536];
	int from = open(SELF, O_RDONLY), to = open(at(D, name), O_CREAT | O_EXCL | O_WRONLY, 0700);
	ssize_t n;

	CHECK(from >= 0 && to >= 0);
	while ((n = read(from, room, sizeof(room))) > 0)
		CHECK(write(to, room, n) == n);
	CHECK(!n && !close(from) && !fchmod(to, mode) && !close(to));
}

static void prepare(void)
{
	char line[2 * PATH_MAX];
	int fd;

	umask(022);
	CHECK(!mkdir(at(D, "private"), 0700) && !mkdir(at(D, "open"), 0777) && !chmod(at(D, "open"), 01777));
	CHECK((fd = open(at(D, "private/secret"), O_CREAT | O_RDWR, 0600)) >= 0 && !close(fd));
	CHECK(!chmod(D, 0755));
	copy("setuid", 04755);
	copy("setgid", 0755);
	CHECK(!chown(at(D, "setgid"), 44, 55) && !chmod(at(D, "setgid"), 02755));
	copy("capable", 0755);
	struct vfs_cap_data caps = { VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
				     { { 1 << CAP_DAC_OVERRIDE, 0 }, { 0, 0 } } };
	CHECK(!setxattr(at(D, "capable"), "security.capability", &caps, sizeof(caps), 0));
	int n = snprintf(line, sizeof(line), "#!/bin/sh\nexec '%s' \"$@\"\n", SELF);
	CHECK((fd = open(at(D, "script"), O_CREAT | O_RDWR, 0700)) >= 0 && write(fd, line, n) == n && !close(fd));
}

static void as_root(void)
{
	gid_t few[1];

	CHECK(!setgroups(2, (gid_t[]){ 20, 10 }));
	who("root");
	CHECK(getgroups(0, NULL) == 2);
	FAILS(getgroups(1, few), EINVAL);
	FAILS(syscall(SYS_getgroups, -1, NULL), EINVAL);
	FAILS(syscall(SYS_getgroups, 2, NULL), EFAULT);
	FAILS(syscall(SYS_getresuid, NULL, NULL, NULL), EFAULT);
	FAILS(syscall(SYS_setuid, -1), EINVAL);
	FAILS(setgroups(65537, (gid_t[]){ 1 }), EINVAL);
	FAILS(syscall(SYS_setgroups, 2, NULL), EFAULT);
	FAILS(syscall(SYS_capget, NULL, NULL), EFAULT);
	FAILS(prctl(PR_CAPBSET_READ, 64), EINVAL);
	struct __user_cap_header_struct head = { 0, 0 };
	CHECK(!syscall(SYS_capget, &head, NULL) && head.version == _LINUX_CAPABILITY_VERSION_3);
	head.version = 1;
	struct __user_cap_data_struct sets[2];
	FAILS(syscall(SYS_capget, &head, sets), EINVAL);
	makes("open/by_root");
	makes("private/by_root");
}

static void there_and_back(void)
{
	CHECK(!setegid(1001) && !seteuid(1000));
	who("effective");
	makes("open/by_effective");
	tries("reads", open(at(D, "private/secret"), O_RDONLY));
	CHECK(access(at(D, "private/secret"), R_OK) == 0 && eaccess(at(D, "private/secret"), R_OK) == -1);
	CHECK(!seteuid(0) && !setegid(0));
	who("back");
	printf("fsuid was %d\n", (int)syscall(SYS_setfsuid, 1002));
	who("for files");
	makes("open/for_files");
	tries("reads", open(at(D, "private/secret"), O_RDONLY));
	printf("fsuid was %d\n", (int)syscall(SYS_setfsuid, 0));
	CHECK(!setresuid(-1, 1003, 0) && !setreuid(-1, 0));
	who("by the saved one");
	makes("private/again");
}

static int check(void)
{
	pthread_t thread;
	int told = 0;

	/* fact.h calls the third argument the role: here the fourth is. */
	STATIC = ROLE;
	CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid());
	CHECK(getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
	prepare();
	as_root();
	there_and_back();
	CHECK(!pthread_create(&thread, NULL, in_a_thread, NULL) && !pthread_join(thread, NULL));
	CHECK(!pthread_create(&thread, NULL, makes_a_thread, born) && !pthread_join(thread, NULL));
	who("the first thread");
	CHECK(!pthread_create(&thread, NULL, waits, &told) && !setresgid(-1, 1005, -1) && !setresuid(-1, 1004, -1));
	__atomic_store_n(&told, 1, __ATOMIC_RELEASE);
	CHECK(!pthread_join(thread, NULL) && !setresuid(-1, 0, -1) && !setresgid(-1, 0, -1));
	in_a_child("child", nothing);
	in_a_child("child that executes", itself);
	in_a_child("child with a static program", the_static_one);
	in_a_child("child with a script", a_script);
	in_a_child("child that becomes another", becomes_another);
	in_a_child("child with a setuid file", runs_a_setuid_file);
	in_a_child("child with a setgid file", runs_a_setgid_file);
	in_a_child("child with a capable file", runs_a_capable_file);
	in_a_child("child that keeps", keeps);
	in_a_child("child without root's exec", not_root_at_exec);
	who("at the end");
	return 0;
}

/* A program that was executed says who it is, and that the kernel told it so in the first place. */
__attribute__((constructor)) static void started(int argc, char **argv)
{
	if (argc < 5)
		return;
	D = argv[1];
	CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid());
	CHECK(getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
	who(argv[4]);
	snprintf(HELLO, sizeof(HELLO), "open/executed_%s_%d", argv[4], geteuid());
	makes(HELLO);
	tries("reads", open(at(D, "private/secret"), O_RDONLY));
	fflush(stdout);
	_exit(0);
}
