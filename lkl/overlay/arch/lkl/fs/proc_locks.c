// SPDX-License-Identifier: GPL-2.0
/*
 * What /proc/locks says of this kernel's locks. The seq_file of fs/locks.c is reached by a mount of proc that nobody sees, which is made
 * when somebody asks first. The ids of processes are the kernel's own.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "proc_locks.h"

static struct vfsmount *proc_mount(void)
{
	static DEFINE_MUTEX(lock);
	static struct vfsmount *mnt;
	struct vfsmount *r;

	mutex_lock(&lock);
	if (!mnt) {
		struct file_system_type *type = get_fs_type("proc");

		r = type ? kern_mount(type) : ERR_PTR(-ENODEV);
		if (!IS_ERR(r))
			mnt = r;
	} else {
		r = mnt;
	}
	mutex_unlock(&lock);
	return r;
}

/* private call: the text from an offset on; 0 at its end */
long lkl_proc_locks(loff_t offset, char __user *to, size_t size)
{
	struct vfsmount *mnt = proc_mount();
	struct path root;
	struct file *file;
	void *buf;
	long r;

	if (IS_ERR(mnt))
		return PTR_ERR(mnt);
	root = (struct path){ .mnt = mnt, .dentry = mnt->mnt_root };
	file = file_open_root(&root, "locks", O_RDONLY, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);
	size = min(size, PAGE_SIZE);
	buf = kmalloc(size, GFP_KERNEL);
	r = buf ? kernel_read(file, buf, size, &offset) : -ENOMEM;
	if (r > 0 && copy_to_user(to, buf, r))
		r = -EFAULT;
	kfree(buf);
	fput(file);
	return r;
}
