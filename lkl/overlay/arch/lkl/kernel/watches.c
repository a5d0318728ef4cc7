// SPDX-License-Identifier: GPL-2.0
/*
 * Watches of inotify(7) for a program whose inotify descriptor is the host's.  Its watches in mounts are those of an inotify
 * file of this kernel, at the same number.  The program waits for the host's descriptor alone, so an event here has to make
 * that one ready: it rings a *chime*, a file of the host that the host's descriptor watches for us.
 *
 * A chime is rung once, when the first event comes, and again by lkl_watch_read() if that leaves events.  So the host's
 * descriptor has an event of the chime if, and only if, there are events here.
 */
#include <linux/bitmap.h>
#include <linux/file.h>
#include <linux/fs_struct.h>
#include <linux/fsnotify_backend.h>
#include <linux/idr.h>
#include <linux/namei.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/syscalls.h>
#include <linux/wait.h>
#include "lkl.h"
#include "members.h"

extern const struct fsnotify_ops inotify_fsnotify_ops;

/* an inotify file that rings */
struct watches {
	struct list_head	list;
	wait_queue_entry_t	entry;
	struct fsnotify_group	*group;
	unsigned int		chime;
	int			wd;		/* of the chime, on the host */
	bool			rung;
};

static LIST_HEAD(all_watches);
static DEFINE_SPINLOCK(watches_lock);
static DECLARE_BITMAP(chimes, LKL_CHIMES);
static unsigned int next_chime;
static struct fsnotify_ops ringing_ops;

static void ring(struct watches *w)
{
	w->rung = true;
	lkl_ops->ring(LKL_CHIME | w->chime);
}

static int on_event(wait_queue_entry_t *entry, unsigned int mode, int sync, void *key)
{
	struct watches *w = container_of(entry, struct watches, entry);

	if (!w->rung)
		ring(w);
	return 0;
}

/* rings if there are events, whatever was rung before */
static void ring_if_any(struct watches *w)
{
	bool any;

	spin_lock(&w->group->notification_lock);
	any = !fsnotify_notify_queue_is_empty(w->group);
	w->rung = false;
	spin_unlock(&w->group->notification_lock);
	if (any)
		ring(w);
}

static struct watches *of_group(struct fsnotify_group *group)
{
	struct watches *w, *found = NULL;

	spin_lock(&watches_lock);
	list_for_each_entry(w, &all_watches, list)
		if (w->group == group)
			found = w;
	spin_unlock(&watches_lock);
	return found;
}

/* the file is closed, and nobody waits in its queue any more */
static void free_group_priv(struct fsnotify_group *group)
{
	struct watches *w = of_group(group);

	spin_lock(&watches_lock);
	list_del(&w->list);
	clear_bit(w->chime, chimes);
	spin_unlock(&watches_lock);
	kfree(w);
	inotify_fsnotify_ops.free_group_priv(group);
}

/* the group of an inotify file; NULL: it is none */
static struct fsnotify_group *group_of(struct fd f)
{
	if (!f.file || f.file->f_op->fasync != fsnotify_fasync)
		return NULL;
	return f.file->private_data;
}

/* in turn, so that a chime that somebody may still hear is not rung again soon; -ENOSPC: there are no more */
static int take_chime(void)
{
	unsigned int chime;

	chime = find_next_zero_bit(chimes, LKL_CHIMES, next_chime);
	if (chime >= LKL_CHIMES)
		chime = find_first_zero_bit(chimes, LKL_CHIMES);
	if (chime >= LKL_CHIMES)
		return -ENOSPC;
	set_bit(chime, chimes);
	next_chime = chime + 1;
	return chime;
}

static int begin_to_ring(struct fsnotify_group *group, int next)
{
	struct watches *w = kzalloc(sizeof(*w), GFP_KERNEL);
	int chime;

	if (!w)
		return -ENOMEM;
	spin_lock(&watches_lock);
	chime = take_chime();
	if (chime >= 0) {
		w->group = group;
		w->chime = chime;
		list_add(&w->list, &all_watches);
	}
	spin_unlock(&watches_lock);
	if (chime < 0) {
		kfree(w);
		return chime;
	}
	ringing_ops = inotify_fsnotify_ops;
	ringing_ops.free_group_priv = free_group_priv;
	group->ops = &ringing_ops;
	idr_set_cursor(&group->inotify_data.idr, next);
	init_waitqueue_func_entry(&w->entry, on_event);
	add_wait_queue(&group->notification_waitq, &w->entry);
	return chime;
}

/* private call: the inotify file rings from here on, and numbers its watches from next on; the chime */
long lkl_watch_begin(int fd, int next)
{
	struct fd f = fdget(fd);
	struct fsnotify_group *group = group_of(f);
	long r = -EINVAL;

	if (group && group->ops == &inotify_fsnotify_ops)
		r = begin_to_ring(group, next);
	fdput(f);
	return r;
}

/* both kernels number the watches of one program in turn: the next number, which is the host's */
static long reserve_number(struct inotify_group_private_data *data)
{
	unsigned int number;

	spin_lock(&data->idr_lock);
	number = idr_get_cursor(&data->idr);
	if (!number || number >= INT_MAX)
		number = 1;
	idr_set_cursor(&data->idr, number + 1);
	spin_unlock(&data->idr_lock);
	return number;
}

/* the host was to use a number, and used another one, or none */
static long used_number(struct inotify_group_private_data *data, int reserved, int used)
{
	unsigned int next;

	spin_lock(&data->idr_lock);
	next = idr_get_cursor(&data->idr);
	if (next == reserved + 1)
		next = reserved;
	if (used > 0 && used < INT_MAX && next <= used)
		next = used + 1;
	idr_set_cursor(&data->idr, next);
	spin_unlock(&data->idr_lock);
	return 0;
}

static long watch_op(struct watches *w, unsigned int op, long a, long b)
{
	switch (op) {
	case LKL_WATCH_TELL:
		return w->wd;
	case LKL_WATCH_CHIME:
		w->wd = a;
		return 0;
	case LKL_WATCH_RESERVE:
		return reserve_number(&w->group->inotify_data);
	case LKL_WATCH_USED:
		return used_number(&w->group->inotify_data, a, b);
	case LKL_WATCH_RUNG:
		return w->rung;
	}
	return -EINVAL;
}

/* private call: LKL_WATCH_*; -EINVAL: the file does not ring */
long lkl_watch_op(int fd, unsigned int op, long a, long b)
{
	struct fd f = fdget(fd);
	struct fsnotify_group *group = group_of(f);
	struct watches *w = group ? of_group(group) : NULL;
	long r = w ? watch_op(w, op, a, b) : -EINVAL;

	fdput(f);
	return r;
}

/* private call: read(2), without a wait, by a program that has heard the chime */
long lkl_watch_read(int fd, char __user *buf, size_t count)
{
	struct fd f = fdget(fd);
	struct fsnotify_group *group = group_of(f);
	struct watches *w = group ? of_group(group) : NULL;
	long r = -EINVAL;

	if (w) {
		r = ksys_read(fd, buf, count);
		ring_if_any(w);
	}
	fdput(f);
	return r;
}

/* a process was killed, which may have heard a chime and not read yet */
void lkl_watches_ring(void)
{
	struct watches *w;

	spin_lock(&watches_lock);
	list_for_each_entry(w, &all_watches, list)
		if (w->rung)
			ring_if_any(w);
	spin_unlock(&watches_lock);
}

static void use_fs(struct fs_struct *fs)
{
	task_lock(current);
	current->fs = fs;
	task_unlock(current);
}

/* private call: inotify_add_watch() of a path relative to a directory */
long lkl_watch_add(int fd, int dfd, const char __user *path, unsigned int mask)
{
	struct fs_struct *own = current->fs, *there;
	struct fd dir;
	long wd = -EBADF;

	if (dfd == AT_FDCWD)
		return sys_inotify_add_watch(fd, path, mask);
	dir = fdget_raw(dfd);
	if (!dir.file)
		return -EBADF;
	there = d_can_lookup(dir.file->f_path.dentry) ? copy_fs_struct(own) : ERR_PTR(-ENOTDIR);
	if (!there)
		there = ERR_PTR(-ENOMEM);
	if (!IS_ERR(there))
		set_fs_pwd(there, &dir.file->f_path);
	fdput(dir);
	if (IS_ERR(there))
		return PTR_ERR(there);
	use_fs(there);
	wd = sys_inotify_add_watch(fd, path, mask);
	use_fs(own);
	free_fs_struct(there);
	return wd;
}
