// SPDX-License-Identifier: GPL-2.0
/*
 * The root of all host tasks: directories that only lead to mount points, nested as the real
 * paths are.  An image for /mnt/data is mounted on /mnt/data here, so getcwd() and /proc tell the
 * application's own names.
 *
 * The directories themselves belong to the host: whatever a task does to one of them ends with
 * -EXDEV, which tells the shim that the path left the image (`..` above its root, an absolute
 * link) and is to be resolved on the host's side.  -EXDEV is made in three places:
 *   permission()          each walk *through* a hub directory, open(), chdir(), create, unlink ...
 *   d_weak_revalidate()   paths that *end* at one by `..` or by a link, O_PATH, stat, statfs, xattr
 *   getattr(), setattr()  descriptors, should one ever be got
 * Code of this overlay that runs under lkl_private_begin() is let through.
 */
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_struct.h>
#include <linux/init.h>
#include <linux/magic.h>
#include <linux/namei.h>
#include <linux/sched.h>
#include "../kernel/lkl.h"

#define HUB_MAGIC	0x68756266

static bool ours(void)
{
	return !lkl_private_fs || current->fs == lkl_private_fs;
}

static int hub_permission(struct user_namespace *ns, struct inode *inode, int mask)
{
	return ours() ? 0 : -EXDEV;
}

static int hub_getattr(struct user_namespace *ns, const struct path *path, struct kstat *stat,
		       u32 mask, unsigned int flags)
{
	return ours() ? simple_getattr(ns, path, stat, mask, flags) : -EXDEV;
}

static int hub_setattr(struct user_namespace *ns, struct dentry *dentry, struct iattr *attr)
{
	return -EXDEV;
}

static ssize_t hub_listxattr(struct dentry *dentry, char *list, size_t size)
{
	return -EXDEV;
}

static struct dentry *hub_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	if (!ours())
		return ERR_PTR(-EXDEV);
	return simple_lookup(dir, dentry, flags);
}

static struct inode *hub_inode(struct super_block *sb);

static int hub_mkdir(struct user_namespace *ns, struct inode *dir, struct dentry *dentry,
		     umode_t mode)
{
	struct inode *inode;

	if (!ours())
		return -EXDEV;
	inode = hub_inode(dir->i_sb);
	if (!inode)
		return -ENOMEM;
	inc_nlink(dir);
	d_instantiate(dentry, inode);
	dget(dentry);			/* pinned: nothing is ever removed */
	return 0;
}

static const struct inode_operations hub_dir_iops = {
	.permission	= hub_permission,
	.getattr	= hub_getattr,
	.setattr	= hub_setattr,
	.listxattr	= hub_listxattr,
	.lookup		= hub_lookup,
	.mkdir		= hub_mkdir,
};

static int hub_open(struct inode *inode, struct file *file)
{
	return -EXDEV;
}

static const struct file_operations hub_dir_fops = { .open = hub_open };

static int hub_weak_revalidate(struct dentry *dentry, unsigned int flags)
{
	return ours() ? 1 : -EXDEV;
}

static const struct dentry_operations hub_dops = {
	.d_delete		= always_delete_dentry,
	.d_weak_revalidate	= hub_weak_revalidate,
};

static int hub_statfs(struct dentry *dentry, struct kstatfs *buf)
{
	return -EXDEV;
}

static const struct super_operations hub_sops = {
	.statfs		= hub_statfs,
	.drop_inode	= generic_delete_inode,
};

static struct inode *hub_inode(struct super_block *sb)
{
	struct inode *inode = new_inode(sb);

	if (!inode)
		return NULL;
	inode->i_ino = get_next_ino();
	inode->i_mode = S_IFDIR | 0755;
	inode->i_atime = inode->i_mtime = inode->i_ctime = current_time(inode);
	inode->i_op = &hub_dir_iops;
	inode->i_fop = &hub_dir_fops;
	set_nlink(inode, 2);
	return inode;
}

static int hub_fill_super(struct super_block *sb, struct fs_context *fc)
{
	sb->s_magic = HUB_MAGIC;
	sb->s_op = &hub_sops;
	sb->s_d_op = &hub_dops;
	sb->s_root = d_make_root(hub_inode(sb));
	return sb->s_root ? 0 : -ENOMEM;
}

static int hub_get_tree(struct fs_context *fc)
{
	return get_tree_nodev(fc, hub_fill_super);
}

static const struct fs_context_operations hub_context_ops = { .get_tree = hub_get_tree };

static int hub_init_context(struct fs_context *fc)
{
	fc->ops = &hub_context_ops;
	return 0;
}

static struct file_system_type hub_type = {
	.name			= "hubfs",
	.init_fs_context	= hub_init_context,
	.kill_sb		= kill_litter_super,
};

static int __init hub_register(void)
{
	return register_filesystem(&hub_type);
}
fs_initcall(hub_register);
