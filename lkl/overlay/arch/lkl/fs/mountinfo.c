// SPDX-License-Identifier: GPL-2.0
/*
 * What /proc/PID/mountinfo and /proc/PID/mounts say of one mount (fs/proc_namespace.c), but for the names of its source and of
 * its place: those the host's side knows.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <mount.h>
#include "mountinfo.h"

#define MOST	(16 << 10)	/* options have a page at most, and are escaped */

struct option {
	unsigned long flag;
	const char *text;
};

static void show_flags(struct seq_file *m, unsigned long flags, const struct option *option)
{
	for (; option->flag; option++)
		if (flags & option->flag)
			seq_puts(m, option->text);
}

static void show_sb_flags(struct seq_file *m, struct super_block *sb)
{
	static const struct option options[] = {
		{ SB_SYNCHRONOUS, ",sync" }, { SB_DIRSYNC, ",dirsync" }, { SB_MANDLOCK, ",mand" },
		{ SB_LAZYTIME, ",lazytime" }, { }
	};

	show_flags(m, sb->s_flags, options);
}

static void show_mnt_flags(struct seq_file *m, struct vfsmount *mnt)
{
	static const struct option options[] = {
		{ MNT_NOSUID, ",nosuid" }, { MNT_NODEV, ",nodev" }, { MNT_NOEXEC, ",noexec" },
		{ MNT_NOATIME, ",noatime" }, { MNT_NODIRATIME, ",nodiratime" }, { MNT_RELATIME, ",relatime" },
		{ MNT_NOSYMFOLLOW, ",nosymfollow" }, { }
	};

	show_flags(m, mnt->mnt_flags, options);
}

static int show_options(struct seq_file *m, struct vfsmount *mnt)
{
	struct super_block *sb = mnt->mnt_sb;

	return sb->s_op->show_options ? sb->s_op->show_options(m, mnt->mnt_root) : 0;
}

static int show_root(struct seq_file *m, struct vfsmount *mnt)
{
	struct super_block *sb = mnt->mnt_sb;

	if (sb->s_op->show_path)
		return sb->s_op->show_path(m, mnt->mnt_root);
	seq_dentry(m, mnt->mnt_root, " \t\n\\");
	return 0;
}

/* fields with one space between */
static int show(struct seq_file *m, struct vfsmount *mnt)
{
	struct super_block *sb = mnt->mnt_sb;
	int err;

	seq_printf(m, "%i %u:%u ", real_mount(mnt)->mnt_id, MAJOR(sb->s_dev), MINOR(sb->s_dev));
	err = show_root(m, mnt);
	if (err)
		return err;
	/* mountinfo: of the mount, the type, of the file system */
	seq_puts(m, mnt->mnt_flags & MNT_READONLY ? " ro" : " rw");
	show_mnt_flags(m, mnt);
	seq_putc(m, ' ');
	seq_escape(m, sb->s_type->name, " \t\n\\#");
	seq_puts(m, sb_rdonly(sb) ? " ro" : " rw");
	show_sb_flags(m, sb);
	err = show_options(m, mnt);
	if (err)
		return err;
	/* mounts: all in one */
	seq_puts(m, __mnt_is_readonly(mnt) ? " ro" : " rw");
	show_sb_flags(m, sb);
	show_mnt_flags(m, mnt);
	return show_options(m, mnt);
}

/* private call: of the mount that an open file lies in; the length of the text */
long lkl_mount_about(int fd, char __user *buf, size_t size)
{
	struct fd f = fdget_raw(fd);
	struct seq_file m = { .size = MOST, .file = f.file };
	long err;

	if (!f.file)
		return -EBADF;
	m.buf = kzalloc(MOST, GFP_KERNEL);
	err = m.buf ? show(&m, f.file->f_path.mnt) : -ENOMEM;
	if (!err && (seq_has_overflowed(&m) || m.count > size))
		err = -ERANGE;
	if (!err)
		err = copy_to_user(buf, m.buf, m.count) ? -EFAULT : m.count;
	kfree(m.buf);
	fdput(f);
	return err;
}
