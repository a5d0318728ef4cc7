// SPDX-License-Identifier: GPL-2.0
/*
 * The mount table over the anchors (fs/anchorfs.c), and the private view that code of this overlay works
 * in: the real root, where the anchors lie at ANCHOR_DIR and the disks at /lkbN, and all capabilities.
 */
#include <linux/blkdev.h>
#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/init_syscalls.h>
#include <linux/kdev_t.h>
#include <linux/kernel.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <uapi/linux/mount.h>
#include <mount.h>
#include "internal.h"
#include "journals.h"
#include "mount.h"

struct fs_struct *lkl_private_fs;
const struct cred *lkl_root_cred;
struct anchor_mount *anchor_mounts;
static struct path anchor_root;

static int __init anchor_init(void)
{
	int err = init_mkdir(ANCHOR_DIR, 0755);

	if (!err)
		err = init_mount("anchorfs", ANCHOR_DIR, "anchorfs", 0, NULL);
	if (!err)
		err = kern_path(ANCHOR_DIR, LOOKUP_DIRECTORY, &anchor_root);
	if (err)
		panic("lkl: no anchors: %d\n", err);
	lkl_learn_mount_ids(real_mount(anchor_root.mnt)->mnt_id);
	lkl_root_cred = get_current_cred();
	lkl_private_fs = copy_fs_struct(current->fs);
	if (!lkl_private_fs)
		panic("lkl: no memory for the anchors\n");
	return 0;
}
late_initcall(anchor_init);

/* anchorfs is the root from now on, and the directory to work in; of pid 1: of all tasks */
void lkl_anchor_enter(void)
{
	set_fs_root(current->fs, &anchor_root);
	anchor_leave_cwd();
}

void anchor_leave_cwd(void)
{
	set_fs_pwd(current->fs, &anchor_root);
}

static void use_fs(struct fs_struct *fs)
{
	task_lock(current);
	current->fs = fs;
	task_unlock(current);
}

void lkl_private_begin(struct lkl_private *p)
{
	p->cred = override_creds(lkl_root_cred);
	p->fs = current->fs;
	use_fs(lkl_private_fs);
}

void lkl_private_end(struct lkl_private *p)
{
	use_fs(p->fs);
	revert_creds(p->cred);
}

/* a place to mount on is named without symlinks: those of an image lead elsewhere for the application */
#define PLACE	(LOOKUP_DIRECTORY | LOOKUP_NO_SYMLINKS)

/* -ENOENT: inside another mount, which has no such directory */
static int anchor_mkdir_one(const char *name)
{
	struct path parent;
	struct dentry *dentry;
	int err = kern_path(name, PLACE, &parent);

	if (!err)
		path_put(&parent);
	if (err != -ENOENT)
		return err;
	dentry = kern_path_create(AT_FDCWD, name, &parent, LOOKUP_DIRECTORY);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry) == -EROFS ? -ENOENT : PTR_ERR(dentry);
	if (dentry->d_sb == anchor_root.dentry->d_sb)
		err = vfs_mkdir(mnt_user_ns(parent.mnt), d_inode(parent.dentry), dentry, 0755);
	done_path_create(&parent, dentry);
	return err;
}

/* make ANCHOR_DIR/a, ANCHOR_DIR/a/b, ... for name = ANCHOR_DIR "/a/b" */
static int anchor_mkdirs(char *name)
{
	char *slash = name + 1;
	int err;

	while ((slash = strchr(slash, '/'))) {
		*slash = 0;
		err = strcmp(name, ANCHOR_DIR) ? anchor_mkdir_one(name) : 0;
		*slash++ = '/';
		if (err)
			return err;
	}
	return anchor_mkdir_one(name);
}

/* the anchor ANCHOR_DIR "/a/b", made if need be */
int anchor_find(char *name, struct path *at)
{
	struct lkl_private was;
	int err;

	lkl_private_begin(&was);
	err = anchor_mkdirs(name);
	if (!err)
		err = kern_path(name, PLACE, at);
	lkl_private_end(&was);
	return err;
}

/* the disk's node in the real root; 3 -> "/lkb3" */
static int disk_node(unsigned int n, char *name, size_t size)
{
	struct path parent;
	struct dentry *dentry;
	int err;

	snprintf(name, size, "/lkb%u", n);
	dentry = kern_path_create(AT_FDCWD, name, &parent, 0);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry) == -EEXIST ? 0 : PTR_ERR(dentry);
	err = vfs_mknod(mnt_user_ns(parent.mnt), d_inode(parent.dentry), dentry, S_IFBLK | 0600,
			lkb_devt(n));
	done_path_create(&parent, dentry);
	return err;
}

/* private call: a disk beside the first of a mount, which options name */
long lkl_disk_node(unsigned int n)
{
	struct lkl_private was;
	char name[24];
	long err;

	lkl_private_begin(&was);
	err = disk_node(n, name, sizeof(name));
	lkl_private_end(&was);
	return err;
}

/* private call: its mount is gone */
long lkl_disk_remove(unsigned int n)
{
	lkb_remove(n);
	return 0;
}

static int open_root_at(const struct path *path, int fd, const struct cred *cred)
{
	struct file *file = dentry_open(path, O_RDONLY | O_DIRECTORY | O_LARGEFILE, cred);
	int err;

	if (IS_ERR(file))
		return PTR_ERR(file);
	err = replace_fd(fd, file, O_CLOEXEC);
	fput(file);
	return err < 0 ? err : 0;
}

/* the root of the mount becomes descriptor fd */
long anchor_open_root(struct anchor_mount *m, int fd, const struct cred *cred)
{
	struct vfsmount *top = m->layers[1] ?: m->layers[0];
	struct path root = { .mnt = top, .dentry = top->mnt_root };

	return open_root_at(&root, fd, cred);
}

/* -EBUSY: in use, and nothing has changed */
long anchor_umount(struct anchor_mount *m)
{
	long err = 0;
	int i;

	for (i = ARRAY_SIZE(m->layers) - 1; i >= 0 && !err; i--) {
		struct path path;

		if (!m->layers[i])
			continue;
		path = (struct path){ .mnt = m->layers[i], .dentry = m->layers[i]->mnt_root };
		path_get(&path);
		err = path_umount(&path, 0);	/* drops the reference */
		if (!err)
			m->layers[i] = NULL;
		task_work_run();
	}
	return err;
}

/*
 * "disk:N" becomes the name of the disk's node; "none:PLACE" is what is mounted without a disk.  "disk:N:/DIR": the
 * directory is to be the mount's root.
 */
static long mount_source(struct anchor_mount *m, const char **source, const char **dir, char *node, size_t size)
{
	unsigned long n;
	char *end;
	long err;

	m->disk = -1;
	*dir = NULL;
	if (strlen(*source) <= 5)
		return -EINVAL;
	n = simple_strtoul(*source + 5, &end, 10);
	if (!strncmp(*source, "none:", 5)) {
		if (end[0] && (end[0] != ':' || !end[1]))
			return -EINVAL;
		lkl_anonymous_devs_of(n);
		*source = end[0] ? end + 1 : "none";
		return 0;
	}
	if (end[0] == ':' && end[1] == '/')
		*dir = end + 1;
	else if (end[0])
		return -EINVAL;
	err = disk_node(n, node, size);
	if (err)
		return err;
	lkl_anonymous_devs_of(MINOR(lkb_devt(n)));
	m->disk = n;
	*source = node;
	return 0;
}

/* the mount that was just made at the path becomes a layer */
static long take_layer(struct anchor_mount *m, int layer)
{
	struct path at;
	long err = kern_path(m->path, PLACE, &at);

	if (err)
		return err;
	m->layers[layer] = at.mnt;
	lkl_journal_mounted(at.mnt->mnt_sb);
	path_put(&at);
	return 0;
}

/* the task in a mount with MS_RDONLY */
static struct task_struct *read_only_mounter;

/*
 * XFS asks for the right to write to its log and to its realtime device, whatever the mount is (xfs_blkdev_get()); of disks that
 * cannot be written it gets the right to read.  The linker leads the call here (--wrap in the Makefile).
 */
struct block_device *__real_blkdev_get_by_path(const char *path, fmode_t mode, void *holder);
struct block_device *__wrap_blkdev_get_by_path(const char *path, fmode_t mode, void *holder);
struct block_device *__wrap_blkdev_get_by_path(const char *path, fmode_t mode, void *holder)
{
	struct block_device *bdev = __real_blkdev_get_by_path(path, mode, holder);

	if (bdev == ERR_PTR(-EACCES) && (mode & FMODE_WRITE) && current == read_only_mounter)
		bdev = __real_blkdev_get_by_path(path, mode & ~FMODE_WRITE, holder);
	return bdev;
}

static long mount_at(struct anchor_mount *m, int layer, const char *source, const char *fstype,
		     unsigned long flags, void *data)
{
	struct path at;
	long err = kern_path(m->path, PLACE, &at);

	if (err)
		return err;
	read_only_mounter = flags & MS_RDONLY ? current : NULL;
	err = -EBUSY;
	/* on a directory of ours, on one inside another mount, or on the layer below */
	if (at.dentry->d_sb == anchor_root.dentry->d_sb || at.dentry != at.mnt->mnt_root || layer)
		err = path_mount(source, &at, fstype, flags, data);
	read_only_mounter = NULL;
	path_put(&at);
	return err ? err : take_layer(m, layer);
}

/* a directory of the file system on top of it */
static long mount_dir(struct anchor_mount *m, const char *dir)
{
	char *from = kasprintf(GFP_KERNEL, "%s%s", m->path, dir);
	struct path at;
	long err;

	if (!from)
		return -ENOMEM;
	err = kern_path(from, PLACE, &at);
	if (!err) {
		path_put(&at);
		err = mount_at(m, 1, from, NULL, MS_BIND, NULL);
	}
	kfree(from);
	return err;
}

static long do_anchor_mount(const char *source, struct anchor_mount *m, const char *fstype,
			 unsigned long flags, void *data, int fd, const struct cred *cred)
{
	const char *dir;
	char node[24];
	long err;

	err = mount_source(m, &source, &dir, node, sizeof(node));
	if (!err)
		err = anchor_mkdirs(m->path);
	if (!err)
		err = mount_at(m, 0, source, fstype, flags, data);
	if (err)
		return err;
	if (dir)
		err = mount_dir(m, dir);
	if (!err)
		err = anchor_open_root(m, fd, cred);
	if (err)
		anchor_umount(m);
	return err;
}

/*
 * The options in the page that path_mount() wants; NULL for none.
 *  - tmpfs is ramfs here (no MMU), which lacks the mode tmpfs has by default.
 *  - F2FS maps the pages of compressed data before it reads them, but where memory=low: mm/vmap.c needs that.
 */
static void *options_page(const char *fstype, const char *data)
{
	const char *first = strcmp(fstype, "tmpfs") ? "" : "mode=1777,";
	const char *last = strcmp(fstype, "f2fs") ? "" : ",memory=low";
	char *page;

	if (!*first && !*last && (!data || !*data))
		return NULL;
	page = (char *)get_zeroed_page(GFP_KERNEL);
	if (!page)
		return ERR_PTR(-ENOMEM);
	if (snprintf(page, PAGE_SIZE, "%s%s%s", first, data ? data : "", last) >= PAGE_SIZE) {
		free_page((unsigned long)page);
		return ERR_PTR(-EINVAL);
	}
	return page;
}

long lkl_anchor_mount(const char *source, const char *path, const char *fstype,
		   unsigned long flags, const char *data, int root_fd)
{
	struct anchor_mount *m;
	struct lkl_private was;
	void *options;
	long err;

	if (path[0] != '/' || !path[1] || strlen(path) >= PATH_MAX - sizeof(ANCHOR_DIR))
		return -EINVAL;
	options = options_page(fstype, data);
	if (IS_ERR(options))
		return PTR_ERR(options);
	m = kzalloc(struct_size(m, path, strlen(path) + sizeof(ANCHOR_DIR)), GFP_KERNEL);
	err = -ENOMEM;
	lkl_run_deferred_initcalls(fstype);
	if (m) {
		sprintf(m->path, ANCHOR_DIR "%s", path);
		lkl_private_begin(&was);
		err = do_anchor_mount(source, m, fstype, flags, options, root_fd, was.cred);
		lkl_anonymous_devs_of(LKL_NO_PLACE);
		task_work_run();	/* the mount of a failure goes at once */
		lkl_private_end(&was);
	}
	if (!err) {
		m->next = anchor_mounts;
		anchor_mounts = m;
		lkl_watch_memory();
	} else {
		kfree(m);
	}
	free_page((unsigned long)options);
	return err;
}
