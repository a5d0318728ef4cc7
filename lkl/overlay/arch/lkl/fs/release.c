// SPDX-License-Identifier: GPL-2.0
/*
 * An image given back while the kernel goes on, so that another process can have it: its mount is
 * taken away and its disk removed, if no task uses it.  A later anchor_mount brings it back.
 */
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include "internal.h"
#include "mount.h"

static struct anchor_mount **find_mount(const char *path)
{
	struct anchor_mount **at;

	for (at = &anchor_mounts; *at; at = &(*at)->next)
		if (!strcmp((*at)->path + strlen(ANCHOR_DIR), path))
			return at;
	return NULL;
}

static long release(struct anchor_mount **at, int root_fd, const struct cred *cred)
{
	struct anchor_mount *m = *at;
	long err, again;

	close_fd(root_fd);
	task_work_run();
	err = anchor_umount(m);
	if (!err) {
		*at = m->next;
		kfree(m);
		return 0;
	}
	again = anchor_open_root(m, root_fd, cred);
	return again ? again : err;
}

/* private call: (path, root_fd): another member may have mounted it; -ENOENT: nobody has */
long lkl_open_root(const char *path, int root_fd)
{
	struct anchor_mount **at = find_mount(path);
	struct lkl_private was;
	long err;

	if (!at)
		return -ENOENT;
	lkl_private_begin(&was);
	err = anchor_open_root(*at, root_fd, was.cred);
	lkl_private_end(&was);
	return err;
}

/* private call: (path, root_fd, disk or -1); -EBUSY: a task uses it, and nothing has changed */
long lkl_anchor_release(const char *path, int root_fd, int disk)
{
	struct anchor_mount **at = find_mount(path);
	struct lkl_private was;
	long err;

	if (!at)
		return -EINVAL;
	lkl_private_begin(&was);
	err = release(at, root_fd, was.cred);
	lkl_private_end(&was);
	if (!err && disk >= 0) {
		lkb_remove(disk);
		task_work_run();	/* a file that it was on is no longer open */
	}
	return err;
}
