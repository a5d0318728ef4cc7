// SPDX-License-Identifier: GPL-2.0
/*
 * The root of all host tasks: anchors, which are directories that only lead to mount points, nested as the real
 * paths are.  An image for /mnt/data is mounted on /mnt/data here, so getcwd() and /proc tell the
 * application's own names.
 *
 * The directories themselves belong to the host: whatever a task does to one of them ends with
 * -EXDEV, which tells the shim that the path left the image (`..` above its root, an absolute
 * link) and is to be resolved on the host's side.  -EXDEV is made in three places:
 *   permission()          each walk *through* an anchor, open(), chdir(), create, unlink ...
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

#define ANCHOR_MAGIC	0x68756266

static bool ours(void)
{
	return !lkl_private_fs || current->fs == lkl_private_fs;
}

static int anchor_permission(struct user_namespace *ns, struct inode *inode, int mask)
{
	return ours() ? 0 : -EXDEV;
}

static int anchor_getattr(struct user_namespace *ns, const struct path *path, struct kstat *stat,
		       u32 mask, unsigned int flags)
{
	return ours() ? simple_getattr(ns, path, stat, mask, flags) : -EXDEV;
}

static int anchor_setattr(struct user_namespace *ns, struct dentry *dentry, struct iattr *attr)
{
	return -EXDEV;
}

static ssize_t anchor_listxattr(struct dentry *dentry, char *list, size_t size)
{
	return -EXDEV;
}

static struct dentry *anchor_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	if (!ours())
		return ERR_PTR(-EXDEV);
	return simple_lookup(dir, dentry, flags);
}

static struct inode *anchor_inode(struct super_block *sb);

static int anchor_mkdir(struct user_namespace *ns, struct inode *dir, struct dentry *dentry,
		     umode_t mode)
{
	struct inode *inode;

	if (!ours())
		return -EXDEV;
	inode = anchor_inode(dir->i_sb);
	if (!inode)
		return -ENOMEM;
	inc_nlink(dir);
	d_instantiate(dentry, inode);
	dget(dentry);			/* pinned: nothing is ever removed */
	return 0;
}

static const struct inode_operations anchor_dir_iops = {
	.permission	= anchor_permission,
	.getattr	= anchor_getattr,
	.setattr	= anchor_setattr,
	.listxattr	= anchor_listxattr,
	.lookup		= anchor_lookup,
	.mkdir		= anchor_mkdir,
};

static int anchor_open(struct inode *inode, struct file *file)
{
	return -EXDEV;
}

static const struct file_operations anchor_dir_fops = { .open = anchor_open };

static int anchor_weak_revalidate(struct dentry *dentry, unsigned int flags)
{
	return ours() ? 1 : -EXDEV;
}

static const struct dentry_operations anchor_dops = {
	.d_delete		= always_delete_dentry,
	.d_weak_revalidate	= anchor_weak_revalidate,
};

static int anchor_statfs(struct dentry *dentry, struct kstatfs *buf)
{
	return -EXDEV;
}

static const struct super_operations anchor_sops = {
	.statfs		= anchor_statfs,
	.drop_inode	= generic_delete_inode,
};

static struct inode *anchor_inode(struct super_block *sb)
{
	struct inode *inode = new_inode(sb);

	if (!inode)
		return NULL;
	inode->i_ino = get_next_ino();
	inode->i_mode = S_IFDIR | 0755;
	inode->i_atime = inode->i_mtime = inode->i_ctime = current_time(inode);
	inode->i_op = &anchor_dir_iops;
	inode->i_fop = &anchor_dir_fops;
	set_nlink(inode, 2);
	return inode;
}

static int anchor_fill_super(struct super_block *sb, struct fs_context *fc)
{
	sb->s_magic = ANCHOR_MAGIC;
	sb->s_op = &anchor_sops;
	sb->s_d_op = &anchor_dops;
	sb->s_root = d_make_root(anchor_inode(sb));
	return sb->s_root ? 0 : -ENOMEM;
}

static int anchor_get_tree(struct fs_context *fc)
{
	return get_tree_nodev(fc, anchor_fill_super);
}

static const struct fs_context_operations anchor_context_ops = { .get_tree = anchor_get_tree };

static int anchor_init_context(struct fs_context *fc)
{
	fc->ops = &anchor_context_ops;
	return 0;
}

static struct file_system_type anchor_type = {
	.name			= "anchorfs",
	.init_fs_context	= anchor_init_context,
	.kill_sb		= kill_litter_super,
};

static int __init anchor_register(void)
{
	return register_filesystem(&anchor_type);
}
fs_initcall(anchor_register);
