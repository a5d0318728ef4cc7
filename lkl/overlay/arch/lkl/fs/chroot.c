// SPDX-License-Identifier: GPL-2.0
/*
 * The root of a process (chroot(2)).  A directory of the host as the root is an anchor here: then getcwd() and d_path() say
 * names below that root, and a path that leaves a mount still ends at an anchor.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/namei.h>
#include <linux/slab.h>
#include "internal.h"
#include "mount.h"
#include "chroot.h"

/* private call: (path): the host's directory at this path, "" for the host's own root, is the caller's root */
long lkl_root_anchor(const char *path)
{
	char *name = kasprintf(GFP_KERNEL, ANCHOR_DIR "%s", path);
	struct path root;
	long err;

	if (!name)
		return -ENOMEM;
	err = anchor_find(name, &root);
	if (!err) {
		set_fs_root(current->fs, &root);
		path_put(&root);
	}
	kfree(name);
	return err;
}

/* private call: (dfd, path): chroot(2) into a mount (fs/open.c) */
long lkl_root_at(int dfd, const char __user *pathname)
{
	struct path path;
	long err = user_path_at(dfd, pathname, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &path);

	if (err)
		return err;
	err = path_permission(&path, MAY_EXEC | MAY_CHDIR);
	if (!err && !ns_capable(current_user_ns(), CAP_SYS_CHROOT))
		err = -EPERM;
	if (!err)
		set_fs_root(current->fs, &path);
	path_put(&path);
	return err;
}
