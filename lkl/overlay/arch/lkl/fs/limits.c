// SPDX-License-Identifier: GPL-2.0
/*
 * What a small kernel must bound by its memory, and what it refuses.  The linker leads calls here (--wrap in the Makefile).
 */
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/sysctl.h>

/*
 * Pipes of one user: Linux lets each user have 64 MiB of full pipes, which is more than all of a small kernel's
 * memory.  The limit is fs.pipe-user-pages-soft; behind it, pipes get two pages each.
 */
void __init __real___register_sysctl_init(const char *path, struct ctl_table *table, const char *name);
void __init __wrap___register_sysctl_init(const char *path, struct ctl_table *table, const char *name);
void __init __wrap___register_sysctl_init(const char *path, struct ctl_table *table, const char *name)
{
	struct ctl_table *row;

	for (row = table; row->procname; row++) {
		if (!strcmp(row->procname, "pipe-user-pages-soft")) {
			unsigned long *pages = row->data;

			*pages = min(*pages, totalram_pages() / 8);
		}
	}
	__real___register_sysctl_init(path, table, name);
}

/*
 * FALLOC_FL_UNSHARE_RANGE of XFS: fsx finds lost data behind it.  The code ends by dropping what waits in the
 * copy-on-write fork of the whole file, after it has written out the range alone.
 */
struct xfs_inode;
int __wrap_xfs_reflink_unshare(struct xfs_inode *ip, loff_t offset, loff_t len);
int __wrap_xfs_reflink_unshare(struct xfs_inode *ip, loff_t offset, loff_t len)
{
	return -EOPNOTSUPP;
}
