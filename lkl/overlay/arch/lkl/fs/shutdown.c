// SPDX-License-Identifier: GPL-2.0
/*
 * The end of the instance, on the thread that leaves last: everything is closed and unmounted,
 * which syncs it. Bounded: other threads' calls are interrupted and get SETTLE_TRIES ticks to come
 * out; what then still holds an image only costs its unmount, not its cleanness.
 */
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
#include "internal.h"
#include "mount.h"
#include "../kernel/members.h"

/* drivers/lkn.c */
void lkl_net_linger(void);

#define SETTLE_TRIES	(HZ / 5)	/* ticks: 200 ms */
#define BUSY_TRIES	5

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

long lkl_shutdown(void)
{
	struct lkl_private was;
	struct anchor_mount *m;
	long err, one;

	if (lkl_stopped)
		return -ENODEV;
	WRITE_ONCE(lkl_stopped, LKL_STOPPING);
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
		anchor_mounts = m->next;
		one = umount_one(m);
		if (one && !err)
			err = one;
		kfree(m);
	}
	lkl_private_end(&was);
	if (!err)
		err = lkb_write_error();
	WRITE_ONCE(lkl_stopped, LKL_STOPPED);
	return err;
}
