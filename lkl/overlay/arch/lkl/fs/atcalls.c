// SPDX-License-Identifier: GPL-2.0
/*
 * The *at() forms that 6.1 does not have (xattr: those of Linux 6.13) or that no Linux has, so
 * that every path of the application can be given relative to the root of its mount.  Same checks,
 * in the same order, as the calls they complete (fs/xattr.c, fs/statfs.c, fs/open.c).
 */
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/statfs.h>
#include <linux/syscalls.h>
#include <linux/xattr.h>
#include "internal.h"
#include "atcalls.h"
#include "mount.h"

static int at_path(int dfd, const char __user *name, unsigned int at_flags, struct path *path)
{
	unsigned int lookup = LOOKUP_FOLLOW;

	if (at_flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (at_flags & AT_SYMLINK_NOFOLLOW)
		lookup = 0;
	if (at_flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	return user_path_at_empty(dfd, name, lookup, path, NULL);
}

/* 0, or -errno as the xattr calls give it for a bad name */
static long copy_name(struct xattr_name *kname, const char __user *name)
{
	long n = strncpy_from_user(kname->name, name, sizeof(kname->name));

	if (n == 0 || n == sizeof(kname->name))
		return -ERANGE;
	return n < 0 ? n : 0;
}

long lkl_getxattrat(int dfd, const char __user *pathname, unsigned int at_flags,
		    const char __user *name, void __user *value, size_t size)
{
	struct xattr_name kname;
	struct xattr_ctx ctx = { .value = value, .size = size, .kname = &kname };
	struct path path;
	long err = at_path(dfd, pathname, at_flags, &path);

	if (err)
		return err;
	err = copy_name(&kname, name);
	if (!err)
		err = do_getxattr(mnt_user_ns(path.mnt), path.dentry, &ctx);
	kvfree(ctx.kvalue);
	path_put(&path);
	return err;
}

long lkl_setxattrat(int dfd, const char __user *pathname, unsigned long flags,
		    const char __user *name, const void __user *value, size_t size)
{
	struct xattr_name kname;
	struct xattr_ctx ctx = {
		.cvalue = value, .size = size, .kname = &kname, .flags = flags >> 32,
	};
	struct path path;
	long err = at_path(dfd, pathname, (unsigned int)flags, &path);

	if (err)
		return err;
	err = mnt_want_write(path.mnt);
	if (!err) {
		err = setxattr_copy(name, &ctx);
		if (!err)
			err = do_setxattr(mnt_user_ns(path.mnt), path.dentry, &ctx);
		kvfree(ctx.kvalue);
		mnt_drop_write(path.mnt);
	}
	path_put(&path);
	return err;
}

static long list_names(struct dentry *d, char __user *list, size_t size)
{
	char *klist = NULL;
	long n;

	if (size) {
		size = min_t(size_t, size, XATTR_LIST_MAX);
		klist = kvmalloc(size, GFP_KERNEL);
		if (!klist)
			return -ENOMEM;
	}
	n = vfs_listxattr(d, klist, size);
	if (n > 0 && size && copy_to_user(list, klist, n))
		n = -EFAULT;
	else if (n == -ERANGE && size >= XATTR_LIST_MAX)
		n = -E2BIG;
	kvfree(klist);
	return n;
}

long lkl_listxattrat(int dfd, const char __user *pathname, unsigned int at_flags,
		     char __user *list, size_t size)
{
	struct path path;
	long n = at_path(dfd, pathname, at_flags, &path);

	if (n)
		return n;
	n = list_names(path.dentry, list, size);
	path_put(&path);
	return n;
}

long lkl_removexattrat(int dfd, const char __user *pathname, unsigned int at_flags,
		       const char __user *name)
{
	struct xattr_name kname;
	struct path path;
	long err = at_path(dfd, pathname, at_flags, &path);

	if (err)
		return err;
	err = mnt_want_write(path.mnt);
	if (!err) {
		err = copy_name(&kname, name);
		if (!err)
			err = vfs_removexattr(mnt_user_ns(path.mnt), path.dentry, kname.name);
		mnt_drop_write(path.mnt);
	}
	path_put(&path);
	return err;
}

/* Without a name: the open file itself, whatever has become of its names (fs/namei.c, nd_jump_link). */
static int place_at(int dfd, const char __user *pathname, unsigned int lookup, struct path *path)
{
	struct fd f;

	if (pathname || dfd == AT_FDCWD)
		return user_path_at(dfd, pathname, LOOKUP_FOLLOW | lookup, path);
	f = fdget_raw(dfd);
	if (!f.file)
		return -EBADF;
	*path = f.file->f_path;
	path_get(path);
	fdput(f);
	if ((lookup & LOOKUP_DIRECTORY) && !d_can_lookup(path->dentry)) {
		path_put(path);
		return -ENOTDIR;
	}
	return 0;
}

long lkl_statfsat(int dfd, const char __user *pathname, struct statfs __user *buf)
{
	struct kstatfs st;
	struct path path;
	long err = place_at(dfd, pathname, LOOKUP_AUTOMOUNT, &path);

	if (err)
		return err;
	err = vfs_statfs(&path, &st);
	path_put(&path);
	BUILD_BUG_ON(sizeof(struct statfs) != sizeof(st));	/* as do_statfs_native() finds */
	if (!err && copy_to_user(buf, &st, sizeof(st)))
		err = -EFAULT;
	return err;
}

long lkl_chdirat(int dfd, const char __user *pathname)
{
	struct path path;
	long err = place_at(dfd, pathname, LOOKUP_DIRECTORY, &path);

	if (err)
		return err;
	err = path_permission(&path, MAY_EXEC | MAY_CHDIR);
	if (!err)
		set_fs_pwd(current->fs, &path);
	path_put(&path);
	return err;
}

long lkl_truncateat(int dfd, const char __user *pathname, loff_t length)
{
	struct path path;
	long err;

	if (length < 0)
		return -EINVAL;
	err = place_at(dfd, pathname, 0, &path);
	if (err)
		return err;
	err = vfs_truncate(&path, length);
	path_put(&path);
	return err;
}

/* The absolute path of an open file, as readlink of /proc/self/fd/N gives it; its length with the NUL. */
#define NOT_FOR_REOPEN	(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_NOFOLLOW)

static int may_reopen(const struct path *path, int flags)
{
	struct inode *inode = d_inode(path->dentry);
	int mode = ACC_MODE(flags);

	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if ((flags & O_DIRECTORY) && !S_ISDIR(inode->i_mode))
		return -ENOTDIR;
	if (S_ISLNK(inode->i_mode))
		return -ELOOP;
	if (flags & O_TRUNC)
		mode |= MAY_WRITE;
	if (S_ISDIR(inode->i_mode) && (mode & MAY_WRITE || flags & O_CREAT))
		return -EISDIR;
	return inode_permission(mnt_user_ns(path->mnt), inode, mode | MAY_OPEN);
}

static struct file *reopened(const struct path *path, int flags)
{
	struct file *file;
	int err;

	if (flags & O_PATH)
		return dentry_open(path, flags & (O_PATH | O_DIRECTORY | O_CLOEXEC), current_cred());
	err = may_reopen(path, flags);
	if (err)
		return ERR_PTR(err);
	file = dentry_open(path, (flags & ~NOT_FOR_REOPEN) | O_LARGEFILE, current_cred());
	if (!IS_ERR(file) && (flags & O_TRUNC) && S_ISREG(file_inode(file)->i_mode)) {
		err = vfs_truncate(path, 0);
		if (err) {
			fput(file);
			return ERR_PTR(err);
		}
	}
	return file;
}

/* open(2) of /proc/self/fd/N: the file itself, whatever has become of its names (fs/namei.c, nd_jump_link) */
long lkl_reopen(int fd, int flags)
{
	struct fd f = fdget_raw(fd);
	struct file *file;
	int made;

	if (!f.file)
		return -EBADF;
	made = get_unused_fd_flags(flags & O_CLOEXEC);
	if (made >= 0) {
		file = reopened(&f.file->f_path, flags);
		if (IS_ERR(file)) {
			put_unused_fd(made);
			made = PTR_ERR(file);
		} else {
			fd_install(made, file);
		}
	}
	fdput(f);
	return made;
}

/*
 * What lies outside of the caller's root has no path there; what d_path() says of it begins at the private root.
 * even_deleted: as on a host, where it begins at the first root.
 */
static char *named_path(const struct path *path, char *page, int even_deleted)
{
	char *name = d_path(path, page, PAGE_SIZE);
	struct path root;
	bool is_below;

	if (IS_ERR(name) || name[0] != '/')
		return name;
	get_fs_root(current->fs, &root);
	is_below = path_is_under(path, &root);
	path_put(&root);
	if (is_below)
		return name;
	if (!even_deleted)
		return ERR_PTR(-ENOENT);
	return strncmp(name, ANCHOR_DIR "/", sizeof(ANCHOR_DIR)) ? name : name + strlen(ANCHOR_DIR);
}

/* even_deleted: of a file without a name as well, as readlink(2) of /proc/self/fd/N says it ("... (deleted)") */
long lkl_fd_path(int fd, char __user *buf, size_t size, int even_deleted)
{
	struct fd f = fdget_raw(fd);
	char *page, *path;
	long len;

	if (!f.file)
		return -EBADF;
	len = -ENOENT;
	if (d_unlinked(f.file->f_path.dentry) && !even_deleted)
		goto out;
	len = -ENOMEM;
	page = (char *)__get_free_page(GFP_KERNEL);
	if (!page)
		goto out;
	path = named_path(&f.file->f_path, page, even_deleted);
	if (IS_ERR(path)) {
		len = PTR_ERR(path);
	} else {
		len = strlen(path) + 1;
		if (len > size)
			len = -ERANGE;
		else if (copy_to_user(buf, path, len))
			len = -EFAULT;
	}
	free_page((unsigned long)page);
out:
	fdput(f);
	return len;
}

/*
 * linkat(AT_FDCWD, "/proc/self/fd/N", newdfd, newname, AT_SYMLINK_FOLLOW) without a /proc: gives an open
 * (perhaps nameless) file a name.  As do_linkat() does, whose AT_EMPTY_PATH needs a capability.
 */
long lkl_link_fd(int fd, int newdfd, const char __user *newname)
{
	struct inode *delegated = NULL;
	struct fd f = fdget_raw(fd);
	struct dentry *dentry;
	struct path path;
	long err;

	if (!f.file)
		return -EBADF;
retry:
	dentry = user_path_create(newdfd, newname, &path, 0);
	err = PTR_ERR_OR_ZERO(dentry);
	if (err)
		goto out;
	err = -EXDEV;
	if (path.mnt == f.file->f_path.mnt)
		err = vfs_link(f.file->f_path.dentry, mnt_user_ns(path.mnt),
			       d_inode(path.dentry), dentry, &delegated);
	done_path_create(&path, dentry);
	if (delegated) {
		err = break_deleg_wait(&delegated);
		if (!err)
			goto retry;
	}
out:
	fdput(f);
	return err;
}
