// SPDX-License-Identifier: GPL-2.0
/*
 * The end of the instance, on the thread that leaves last: everything is closed and unmounted,
 * which syncs it. Bounded: other threads' calls are interrupted and get SETTLE_TRIES ticks to come
 * out; what then still holds an image only costs its unmount, not its cleanness.
 */
#include <linux/completion.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/syscalls.h>
#include <linux/task_work.h>
#include <linux/workqueue.h>
#include "internal.h"
#include "mount.h"
#include "../kernel/members.h"

/* drivers/lkn.c */
void lkl_net_linger(void);
unsigned long lkl_net_heard(void);

#define SETTLE_TRIES	(HZ / 5)	/* ticks: 200 ms */
#define BUSY_TRIES	5
#define SERVER_SILENCE	10		/* seconds */

static void wait_for_others(void)
{
	int i;

	for (i = 0; i < SETTLE_TRIES && lkl_inside > 1; i++) {
		lkl_interrupt_others();
		schedule_timeout_uninterruptible(1);
	}
}

/* the lowest open descriptor from fd up, -1 if there is none */
static int next_open(unsigned int fd)
{
	struct files_struct *files = current->files;
	struct fdtable *table;

	spin_lock(&files->file_lock);
	table = files_fdtable(files);
	fd = find_next_bit(table->open_fds, table->max_fds, fd);
	if (fd >= table->max_fds)
		fd = -1;
	spin_unlock(&files->file_lock);
	return fd;
}

/* private call: a bit for each descriptor from first on, a multiple of 64; set: it is open.  0: none is, here or above */
long lkl_open_fds(unsigned long *bits, unsigned long words, unsigned long first)
{
	int fd = next_open(first);
	long any = fd >= 0;

	memset(bits, 0, words * sizeof(*bits));
	for (; fd >= 0 && fd < first + words * BITS_PER_LONG; fd = next_open(fd + 1))
		__set_bit(fd - first, bits);
	return any;
}

/* the first error of a close is kept: it may be the only report of a failed write-back */
long lkl_close_all(void)
{
	long err = 0, one;
	int fd;

	for (fd = next_open(0); fd >= 0; fd = next_open(fd + 1)) {
		one = close_fd(fd);
		if (one && one != -EBADF && !err)
			err = one;
	}
	task_work_run();
	return err;
}

/* a task still has it as its directory: at least leave it clean */
static long force_readonly(struct super_block *sb)
{
	struct fs_context *fc;
	long err;

	down_write(&sb->s_umount);
	fc = fs_context_for_reconfigure(sb->s_root, SB_RDONLY | SB_FORCE, SB_RDONLY);
	err = PTR_ERR_OR_ZERO(fc);
	if (!err) {
		err = parse_monolithic_mount_data(fc, NULL);
		if (!err)
			err = reconfigure_super(fc);
		put_fs_context(fc);
	}
	up_write(&sb->s_umount);
	return err;
}

static long umount_one(struct anchor_mount *m)
{
	struct super_block *sb;
	long err;
	int i;

	for (i = 0; i < BUSY_TRIES; i++) {
		err = anchor_umount(m);
		if (err != -EBUSY) {
			/* the image that it lies in can go as well */
			if (!err && m->disk >= 0 && lkb_is_file(m->disk)) {
				lkb_remove(m->disk);
				task_work_run();
			}
			return err;
		}
		schedule_timeout_uninterruptible(1);
	}
	sb = m->layers[0]->mnt_sb;
	err = sb_rdonly(sb) ? 0 : force_readonly(sb);
	pr_warn("lkl: %s is still in use, left read-only: %ld\n", m->path + strlen(ANCHOR_DIR), err);
	return err;
}

/*
 * A server that is gone would keep the end waiting for ever: umount(8) waits as well, but there is somebody to say -f.  As long as
 * anything is heard of a server, what was written goes there, however long that takes.  If nothing is, requests that wait fail (as by
 * umount -f), and what still waits then, such as the end of an NFS session, is left behind.
 */
static unsigned int silent;		/* seconds */
static void watch_servers(struct work_struct *work);
static DECLARE_DELAYED_WORK(servers, watch_servers);

static void give_up(struct anchor_mount *m)
{
	struct super_block *sb = m->layers[0] ? m->layers[0]->mnt_sb : NULL;

	if (!sb || !sb->s_op->umount_begin || !atomic_inc_not_zero(&sb->s_active))
		return;
	pr_warn_once("lkl: a server does not answer, what it has not got yet is lost\n");
	sb->s_op->umount_begin(sb);
	deactivate_super(sb);
}

static void watch_servers(struct work_struct *work)
{
	static unsigned long heard;
	struct anchor_mount *m;

	silent = lkl_net_heard() == heard ? silent + 1 : 0;
	heard = lkl_net_heard();
	if (silent >= SERVER_SILENCE) {
		for (m = anchor_mounts; m; m = m->next)
			give_up(m);
	}
	schedule_delayed_work(&servers, HZ);
}

static bool is_a_servers(const struct anchor_mount *m)
{
	return m->layers[0]->mnt_sb->s_op->umount_begin;
}

static bool has_servers(void)
{
	struct anchor_mount *m;

	for (m = anchor_mounts; m; m = m->next)
		if (is_a_servers(m))
			return true;
	return false;
}

/* an unmount that its starter may leave to itself */
struct unmount {
	struct work_struct	work;
	struct completion	done;
	struct anchor_mount	*mount;
	long			err;
};

static void unmount_work(struct work_struct *work)
{
	struct unmount *u = container_of(work, struct unmount, work);
	struct lkl_private was;

	lkl_private_begin(&was);
	u->err = umount_one(u->mount);
	lkl_private_end(&was);
	complete(&u->done);
}

static long unmount_servers(struct anchor_mount *m)
{
	struct unmount *u = kzalloc(sizeof(*u), GFP_KERNEL);
	long err;

	if (!u)
		return -ENOMEM;
	u->mount = m;
	init_completion(&u->done);
	INIT_WORK(&u->work, unmount_work);
	queue_work(system_unbound_wq, &u->work);
	while (!wait_for_completion_timeout(&u->done, HZ / 10))
		if (silent > 2 * SERVER_SILENCE)
			return -ETIMEDOUT;
	err = u->err;
	kfree(u);
	return err;
}

long lkl_shutdown(void)
{
	struct lkl_private was;
	struct anchor_mount *m;
	long err, one;

	if (lkl_stopped)
		return -ENODEV;
	WRITE_ONCE(lkl_stopped, LKL_STOPPING);
	if (has_servers())
		schedule_delayed_work(&servers, HZ);
	lkl_areas_end(1);
	wait_for_others();
	lkl_end_other_members();
	lkl_end_waits();
	lkl_pass_nothing();
	err = lkl_close_all();
	lkl_net_linger();
	lkl_anchor_enter();
	lkl_private_begin(&was);
	while ((m = anchor_mounts)) {
		one = is_a_servers(m) ? unmount_servers(m) : umount_one(m);
		anchor_mounts = m->next;
		/* (who was left behind has it) */
		if (one != -ETIMEDOUT)
			kfree(m);
		if (one && !err)
			err = one;
	}
	lkl_private_end(&was);
	if (!err)
		err = lkb_write_error();
	WRITE_ONCE(lkl_stopped, LKL_STOPPED);
	return err;
}
