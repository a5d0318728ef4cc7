// SPDX-License-Identifier: GPL-2.0
/* A setting of the kernel's, by its name in /proc/sys, which need not be mounted anywhere. */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init_task.h>
#include <linux/mount.h>
#include <linux/proc_ns.h>
#include <linux/slab.h>
#include "lkl.h"

/* private call: name has slashes, as in net/ipv4/tcp_ecn */
long lkl_sysctl(const char *name, const char *value, size_t len);
long lkl_sysctl(const char *name, const char *value, size_t len)
{
	struct file_system_type *type = get_fs_type("proc");
	const struct cred *was;
	struct vfsmount *mnt;
	struct file *file;
	char *path;
	loff_t at = 0;
	long ret;

	lkl_run_deferred_initcalls("net");
	if (!type)
		return -ENODEV;
	mnt = kern_mount(type);
	put_filesystem(type);
	if (IS_ERR(mnt))
		return PTR_ERR(mnt);
	path = kasprintf(GFP_KERNEL, "sys/%s", name);
	/* whoever has the kernel may set it up */
	was = override_creds(&init_cred);
	file = path ? file_open_root_mnt(mnt, path, O_WRONLY, 0) : ERR_PTR(-ENOMEM);
	ret = PTR_ERR_OR_ZERO(file);
	if (!ret) {
		ret = kernel_write(file, value, len, &at);
		filp_close(file, NULL);
	}
	revert_creds(was);
	kfree(path);
	kern_unmount(mnt);
	return ret < 0 ? ret : 0;
}
