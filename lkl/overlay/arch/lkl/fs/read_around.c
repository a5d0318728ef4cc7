// SPDX-License-Identifier: GPL-2.0
/*
 * Long reads of files that the page cache has nothing of: the host copies from its own cache of the image right into the
 * application's memory.  By the page cache the same bytes would be copied twice, into pages that the host has to make first.
 *
 * The read is as one with O_DIRECT (fs/iomap/direct-io.c): the inode is locked against write(), truncate() and the like,
 * and the file system says where the bytes are.  Dirty pages and pages under write-back are in the page cache; so what
 * is there of no page is on the disk.  Between the look at the page cache and the copy nobody else runs: there is one CPU, and
 * the copy does not sleep.  Whatever is not that plain goes by the page cache: holes, what the host would wait for, memory
 * that cannot be written.
 *
 * The linker leads the calls of file systems here (--wrap in the Makefile).
 */
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/magic.h>
#include <linux/pagemap.h>
#include <linux/task_io_accounting_ops.h>
#include <linux/uio.h>
#include "../../../fs/ext4/ext4.h"
#include "../../../fs/ext4/ext4_jbd2.h"
#include "../drivers/lkb.h"

/* what is read in smaller pieces is read again more often, and a copy from the page cache is quicker than a call of the host */
#define AROUND_LEAST	(32UL << 10)
/* others want the CPU as well */
#define AROUND_MOST	(1UL << 20)

extern const struct iomap_ops xfs_read_iomap_ops;

/* how the file system tells where a file lies; NULL: it does not, or not of this file */
static const struct iomap_ops *extents_of(struct inode *inode)
{
	if (!S_ISREG(inode->i_mode) || IS_ENCRYPTED(inode) || IS_VERITY(inode) || !inode->i_sb->s_bdev)
		return NULL;
	switch (inode->i_sb->s_magic) {
	case EXT4_SUPER_MAGIC:
		if (ext4_has_inline_data(inode) || ext4_should_journal_data(inode))
			return NULL;
		return &ext4_iomap_ops;
	case XFS_SUPER_MAGIC:
		return &xfs_read_iomap_ops;
	default:
		return NULL;
	}
}

/* bytes that were read of one extent; 0: the rest is to go by the page cache */
static size_t read_extent(struct iomap_iter *it, struct iov_iter *to)
{
	const struct iomap *map = &it->iomap;
	size_t done = 0, n;
	long got;

	if (map->type != IOMAP_MAPPED)
		return 0;
	for (; done < iomap_length(it); done += got) {
		loff_t pos = it->pos + done;

		n = min_t(u64, iomap_length(it) - done, AROUND_MOST);
		if (filemap_range_has_page(it->inode->i_mapping, pos, pos + n - 1))
			break;
		got = lkb_read_around(map->bdev, map->addr + (pos - map->offset), to->ubuf + to->iov_offset, n);
		if (got <= 0)
			break;
		iov_iter_advance(to, got);
		if (done + got < iomap_length(it))
			cond_resched();
	}
	return done;
}

/* with the inode locked for reading */
static ssize_t read_extents(struct kiocb *iocb, struct iov_iter *to, const struct iomap_ops *ops)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	loff_t size = i_size_read(inode);
	struct iomap_iter it = { .inode = inode, .pos = iocb->ki_pos };
	ssize_t done = 0;

	if (iocb->ki_pos >= size)
		return 0;
	it.len = min_t(u64, iov_iter_count(to), size - iocb->ki_pos);
	while (iomap_iter(&it, ops) > 0) {
		it.processed = read_extent(&it, to);
		done += it.processed;
	}
	iocb->ki_pos += done;
	return done;
}

static ssize_t read_around(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	const struct iomap_ops *ops;
	bool locks;
	ssize_t done;

	/* most reads are short, or cached: they pay for two looks */
	if (iov_iter_count(to) < AROUND_LEAST || !iter_is_ubuf(to) || iocb->ki_flags & IOCB_DIRECT)
		return 0;
	if (filemap_range_has_page(inode->i_mapping, iocb->ki_pos, iocb->ki_pos + PAGE_SIZE - 1))
		return 0;
	ops = extents_of(inode);
	locks = ops == &ext4_iomap_ops;		/* XFS comes here with the lock */
	if (!ops || (locks && !inode_trylock_shared(inode)))
		return 0;
	done = read_extents(iocb, to, ops);
	if (locks)
		inode_unlock_shared(inode);
	if (done) {
		task_io_account_read(done);
		file_accessed(iocb->ki_filp);
	}
	return done;
}

ssize_t __real_generic_file_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t __wrap_generic_file_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t __wrap_generic_file_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	ssize_t done = read_around(iocb, to), more;

	if (done && (!iov_iter_count(to) || iocb->ki_pos >= i_size_read(file_inode(iocb->ki_filp))))
		return done;
	more = __real_generic_file_read_iter(iocb, to);
	return more > 0 ? done + more : done ?: more;
}
