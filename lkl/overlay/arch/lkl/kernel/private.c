// SPDX-License-Identifier: GPL-2.0
/* The table of private calls: what the embedding process asks of us beyond x86-64's table. */
#include "../fs/atcalls.h"
#include "../fs/chroot.h"
#include "../fs/mount.h"
#include "../fs/mountinfo.h"
#include "../fs/pipe_look.h"
#include "../fs/proc_locks.h"
#include "lkl.h"

long lkl_loopback_up(void);
/* sysctl.c */
long lkl_sysctl(const char *name, const char *value, size_t len);

/* drivers/lkn.c */
long lkl_net_add(const struct lkl_net *what);

/* waits.c */
long lkl_wait_arm(void *fds, unsigned long n, unsigned long bell, unsigned long alone);
long lkl_wait_disarm(void);

/* watches.c */
long lkl_watch_begin(int fd, int next);
long lkl_watch_op(int fd, unsigned int op, long a, long b);
long lkl_watch_read(int fd, char *buf, size_t count);
long lkl_watch_add(int fd, int dfd, const char *path, unsigned int mask);

/* passing.c */
long lkl_pass_park(int fd, unsigned long ticket, unsigned int half);
long lkl_pass_take(unsigned long ticket);
long lkl_pass_look(void);
long lkl_pass_from(unsigned int pid, unsigned int from);

/* members.c */
long lkl_file_limit(unsigned int pid, unsigned long bytes);

/* signals.c */
long lkl_owner(unsigned int fd, int kind, unsigned int id, bool may_signal);

static long lkl_leave_cwd(void)
{
	anchor_leave_cwd();
	return 0;
}

#define PRIVATE(name) [LKL_NR_##name - LKL_NR_PRIVATE] = (lkl_private_t)(void *)lkl_##name
const lkl_private_t lkl_private_calls[LKL_NR_PRIVATE_END - LKL_NR_PRIVATE] = {
	PRIVATE(disk_add),
	PRIVATE(anchor_mount),
	PRIVATE(shutdown),
	PRIVATE(set_creds),
	PRIVATE(loopback_up),
	PRIVATE(getxattrat),
	PRIVATE(setxattrat),
	PRIVATE(listxattrat),
	PRIVATE(removexattrat),
	PRIVATE(statfsat),
	PRIVATE(chdirat),
	PRIVATE(truncateat),
	PRIVATE(fd_path),
	PRIVATE(anchor_release),
	PRIVATE(release_memory),
	PRIVATE(leave_cwd),
	PRIVATE(link_fd),
	PRIVATE(crash),
	PRIVATE(reopen),
	PRIVATE(disk_node),
	PRIVATE(disk_remove),
	PRIVATE(member_new),
	PRIVATE(open_fds),
	PRIVATE(open_root),
	PRIVATE(only_thread),
	PRIVATE(area_new),
	PRIVATE(area_fault),
	PRIVATE(area_op),
	PRIVATE(areas_end),
	PRIVATE(wait_arm),
	PRIVATE(wait_disarm),
	PRIVATE(watch_begin),
	PRIVATE(watch_op),
	PRIVATE(watch_read),
	PRIVATE(watch_add),
	PRIVATE(mount_about),
	PRIVATE(root_anchor),
	PRIVATE(root_at),
	PRIVATE(pass_park),
	PRIVATE(pass_take),
	PRIVATE(pass_look),
	PRIVATE(pass_from),
	PRIVATE(net_add),
	PRIVATE(sysctl),
	PRIVATE(owner),
	PRIVATE(file_limit),
	PRIVATE(proc_locks),
	PRIVATE(pipe_look),
};
