// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O (O_DIRECT).  The block layer moves data between a disk and pages that have a struct page.  The memory of a program
 * has none here: it is the host's.  So a transfer goes by pages of ours, one copy more, and past the page cache as the file
 * system has it.  The file system sees these pages as the program's: each part lies as far from the start of a page as in the
 * program, so what is misaligned stays misaligned.
 *
 * The functions through which file systems begin direct I/O come here (--wrap in the Makefile).
 */
#include <linux/bvec.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>

#define BOUNCE_MOST	(1UL << 20)	/* longer transfers go in turns */
#define BOUNCE_TRIES	100		/* to get any memory at all, with a pause after each */
#define BLOCK_ORDER	4		/* of pages that are side by side, where there are any */

struct bounce {
	struct bio_vec	*parts;
	unsigned int	nr;
	size_t		len;
	struct iov_iter	iter;		/* what the file system has */
};

/* how a file system's transfer begins, with arguments that are the caller's */
struct direct {
	ssize_t	(*begin)(struct kiocb *iocb, struct iov_iter *iter, struct direct *d);
	bool	moves;			/* the offset of the file, as it goes */
};

static bool needs_bounce(struct kiocb *iocb, struct iov_iter *iter)
{
	return user_backed_iter(iter) && is_sync_kiocb(iocb) && iov_iter_count(iter);
}

static unsigned int order_of(const struct bio_vec *part)
{
	return get_order(part->bv_offset + part->bv_len);
}

static void *memory_of(const struct bio_vec *part)
{
	return page_address(part->bv_page) + part->bv_offset;
}

static void bounce_free(struct bounce *b)
{
	while (b->nr) {
		b->nr--;
		__free_pages(b->parts[b->nr].bv_page, order_of(&b->parts[b->nr]));
	}
	kvfree(b->parts);
}

/* memory for what a program has at addr, or for the beginning of it; how much */
static size_t add_part(struct bounce *b, unsigned long addr, size_t len)
{
	struct bio_vec part = { .bv_offset = offset_in_page(addr) };
	unsigned int order = min_t(unsigned int, get_order(part.bv_offset + len), BLOCK_ORDER);

	if (order)
		part.bv_page = alloc_pages(GFP_KERNEL | __GFP_COMP | __GFP_NOWARN | __GFP_NORETRY, order);
	if (!part.bv_page) {
		order = 0;
		part.bv_page = alloc_page(GFP_KERNEL);
	}
	if (!part.bv_page)
		return 0;
	part.bv_len = min_t(size_t, len, (PAGE_SIZE << order) - part.bv_offset);
	b->parts[b->nr++] = part;
	b->len += part.bv_len;
	return part.bv_len;
}

/*
 * For what comes first in the iterator, most bytes of it.  Others may have the memory that there is: then less is begun with, unless
 * it has to be whole.
 */
static int bounce_try(struct bounce *b, const struct iov_iter *user, size_t most, bool whole)
{
	struct iov_iter at = *user;
	unsigned long addr;
	size_t n;

	iov_iter_truncate(&at, min_t(size_t, most, (totalram_pages() / 16) << PAGE_SHIFT));
	*b = (struct bounce) {
		.parts = kvmalloc_array(iov_iter_npages(&at, INT_MAX), sizeof(*b->parts), GFP_KERNEL),
	};
	if (!b->parts)
		return -ENOMEM;
	while (iov_iter_count(&at)) {
		iov_iter_advance(&at, 0);	/* past parts of no length */
		n = iov_iter_single_seg_count(&at);
		if (iter_is_ubuf(&at))
			addr = (unsigned long)at.ubuf + at.iov_offset;
		else
			addr = (unsigned long)at.iov->iov_base + at.iov_offset;
		n = add_part(b, addr, n);
		if (!n && b->len && !whole)
			break;
		if (!n) {
			bounce_free(b);
			return -ENOMEM;
		}
		iov_iter_advance(&at, n);
	}
	iov_iter_bvec(&b->iter, iov_iter_rw(user), b->parts, b->nr, b->len);
	return 0;
}

static int bounce_make(struct bounce *b, const struct iov_iter *user, size_t most, bool whole)
{
	int tries = 0, err;

	while ((err = bounce_try(b, user, most, whole)) == -ENOMEM && tries++ < BOUNCE_TRIES && !signal_pending(current))
		schedule_timeout_interruptible(msecs_to_jiffies(10));
	return err;
}

static bool copy_in(struct bounce *b, const struct iov_iter *user)
{
	struct iov_iter at = *user;
	unsigned int i;

	for (i = 0; i < b->nr; i++)
		if (copy_from_iter(memory_of(&b->parts[i]), b->parts[i].bv_len, &at) != b->parts[i].bv_len)
			return false;
	return true;
}

/*
 * How much of len is the program's now.  Memory that is a mapping of a file may be out of reach again: then it is whole blocks, so
 * that the rest can be asked for.
 */
static size_t copy_out(struct bounce *b, struct iov_iter *user, size_t len)
{
	size_t done = 0, n, copied, part;
	unsigned int i;

	for (i = 0; i < b->nr && done < len; i++) {
		n = min_t(size_t, len - done, b->parts[i].bv_len);
		copied = copy_to_iter(memory_of(&b->parts[i]), n, user);
		done += copied;
		if (copied != n)
			break;
	}
	part = done < len ? done % PAGE_SIZE : 0;
	iov_iter_revert(user, part);
	return done - part;
}

/* with the data of a write in it, or -errno */
static int prepare(struct bounce *b, const struct iov_iter *user, size_t most, bool whole)
{
	int err = bounce_make(b, user, most, whole);

	if (!err && iov_iter_rw(user) == WRITE && !copy_in(b, user)) {
		bounce_free(b);
		err = -EFAULT;
	}
	return err;
}

/* one turn; *whole: nothing is short */
static ssize_t take_turn(struct kiocb *iocb, struct iov_iter *user, struct direct *d, bool *whole)
{
	loff_t pos = iocb->ki_pos;
	struct bounce b;
	ssize_t ret = prepare(&b, user, BOUNCE_MOST, false);

	if (ret)
		return ret;
	ret = d->begin(iocb, &b.iter, d);
	*whole = ret == b.len;
	if (ret > 0 && iov_iter_rw(user) == WRITE) {
		iov_iter_advance(user, ret);
	} else if (ret > 0) {
		size_t copied = copy_out(&b, user, ret);

		*whole &= copied == ret;
		ret = copied ? copied : -EFAULT;
		if (d->moves)
			iocb->ki_pos = pos + copied;
	}
	if (ret > 0 && !d->moves)
		iocb->ki_pos = pos + ret;
	bounce_free(&b);
	return ret;
}

static ssize_t transfer(struct kiocb *iocb, struct iov_iter *user, struct direct *d)
{
	loff_t start = iocb->ki_pos;
	bool whole = true;
	ssize_t done = 0, ret = 0;

	while (whole && iov_iter_count(user)) {
		ret = take_turn(iocb, user, d, &whole);
		if (ret <= 0)
			break;
		done += ret;
	}
	if (!d->moves)
		iocb->ki_pos = start;
	return done ? done : ret;
}

struct iomap_direct {
	struct direct			direct;
	const struct iomap_ops		*ops;
	const struct iomap_dio_ops	*dops;
	unsigned int			flags;
	void				*private;
};

ssize_t __real_iomap_dio_rw(struct kiocb *iocb, struct iov_iter *iter, const struct iomap_ops *ops,
			    const struct iomap_dio_ops *dops, unsigned int dio_flags, void *private,
			    size_t done_before);

static ssize_t begin_iomap(struct kiocb *iocb, struct iov_iter *iter, struct direct *d)
{
	struct iomap_direct *i = container_of(d, struct iomap_direct, direct);

	return __real_iomap_dio_rw(iocb, iter, i->ops, i->dops, i->flags, i->private, 0);
}

ssize_t __wrap_iomap_dio_rw(struct kiocb *iocb, struct iov_iter *iter, const struct iomap_ops *ops,
			    const struct iomap_dio_ops *dops, unsigned int dio_flags, void *private,
			    size_t done_before);
ssize_t __wrap_iomap_dio_rw(struct kiocb *iocb, struct iov_iter *iter, const struct iomap_ops *ops,
			    const struct iomap_dio_ops *dops, unsigned int dio_flags, void *private,
			    size_t done_before)
{
	struct iomap_direct d = {
		.direct = { .begin = begin_iomap, .moves = true },
		.ops = ops, .dops = dops, .flags = dio_flags, .private = private,
	};
	ssize_t ret;

	if (!needs_bounce(iocb, iter))
		return __real_iomap_dio_rw(iocb, iter, ops, dops, dio_flags, private, done_before);
	ret = transfer(iocb, iter, &d.direct);
	return ret > 0 ? ret + done_before : ret;
}

struct iomap_dio *__real___iomap_dio_rw(struct kiocb *iocb, struct iov_iter *iter, const struct iomap_ops *ops,
					const struct iomap_dio_ops *dops, unsigned int dio_flags, void *private,
					size_t done_before);

/* Of a call that waits, all is transferred when this returns.  The caller has the rest to do, and takes IOMAP_DIO_PARTIAL in turns. */
struct iomap_dio *__wrap___iomap_dio_rw(struct kiocb *iocb, struct iov_iter *iter, const struct iomap_ops *ops,
					const struct iomap_dio_ops *dops, unsigned int dio_flags, void *private,
					size_t done_before);
struct iomap_dio *__wrap___iomap_dio_rw(struct kiocb *iocb, struct iov_iter *iter, const struct iomap_ops *ops,
					const struct iomap_dio_ops *dops, unsigned int dio_flags, void *private,
					size_t done_before)
{
	loff_t pos = iocb->ki_pos;
	struct iomap_dio *dio;
	struct bounce b;
	bool whole;
	size_t n;
	int err;

	if (!needs_bounce(iocb, iter))
		return __real___iomap_dio_rw(iocb, iter, ops, dops, dio_flags, private, done_before);
	whole = !(dio_flags & IOMAP_DIO_PARTIAL);
	err = prepare(&b, iter, whole ? MAX_RW_COUNT : BOUNCE_MOST, whole);
	if (err)
		return ERR_PTR(err);
	dio = __real___iomap_dio_rw(iocb, &b.iter, ops, dops, dio_flags, private, done_before);
	n = b.len - iov_iter_count(&b.iter);
	if (iov_iter_rw(iter) == WRITE) {
		iov_iter_advance(iter, n);
	} else if (!IS_ERR_OR_NULL(dio) && copy_out(&b, iter, n) != n) {
		iomap_dio_complete(dio);
		iocb->ki_pos = pos;
		dio = ERR_PTR(-EFAULT);
	}
	bounce_free(&b);
	return dio;
}

struct block_direct {
	struct direct		direct;
	struct inode		*inode;
	struct block_device	*bdev;
	get_block_t		*get_block;
	dio_iodone_t		*end_io;
	dio_submit_t		*submit_io;
	int			flags;
};

ssize_t __real___blockdev_direct_IO(struct kiocb *iocb, struct inode *inode, struct block_device *bdev,
				    struct iov_iter *iter, get_block_t get_block, dio_iodone_t end_io,
				    dio_submit_t submit_io, int flags);

static ssize_t begin_block(struct kiocb *iocb, struct iov_iter *iter, struct direct *d)
{
	struct block_direct *b = container_of(d, struct block_direct, direct);

	return __real___blockdev_direct_IO(iocb, b->inode, b->bdev, iter, b->get_block, b->end_io, b->submit_io,
					   b->flags);
}

ssize_t __wrap___blockdev_direct_IO(struct kiocb *iocb, struct inode *inode, struct block_device *bdev,
				    struct iov_iter *iter, get_block_t get_block, dio_iodone_t end_io,
				    dio_submit_t submit_io, int flags);
ssize_t __wrap___blockdev_direct_IO(struct kiocb *iocb, struct inode *inode, struct block_device *bdev,
				    struct iov_iter *iter, get_block_t get_block, dio_iodone_t end_io,
				    dio_submit_t submit_io, int flags)
{
	struct block_direct d = {
		.direct = { .begin = begin_block },
		.inode = inode, .bdev = bdev, .get_block = get_block, .end_io = end_io, .submit_io = submit_io,
		.flags = flags,
	};

	if (!needs_bounce(iocb, iter))
		return __real___blockdev_direct_IO(iocb, inode, bdev, iter, get_block, end_io, submit_io, flags);
	return transfer(iocb, iter, &d.direct);
}

/*
 * The clients of NFS and SMB.  The one asks the network for pages of the program's wherever the page cache is passed by; the other
 * wherever the server has not allowed a cache, which only its own functions know.
 */
typedef ssize_t client_rw(struct kiocb *iocb, struct iov_iter *iter);

struct client_direct {
	struct direct	direct;
	client_rw	*rw;
};

static ssize_t begin_client(struct kiocb *iocb, struct iov_iter *iter, struct direct *d)
{
	return container_of(d, struct client_direct, direct)->rw(iocb, iter);
}

static ssize_t client_transfer(struct kiocb *iocb, struct iov_iter *iter, client_rw *rw)
{
	struct client_direct d = { .direct = { .begin = begin_client, .moves = true }, .rw = rw };

	return needs_bounce(iocb, iter) ? transfer(iocb, iter, &d.direct) : rw(iocb, iter);
}

#define CLIENT(name)								\
client_rw __real_##name, __wrap_##name;						\
ssize_t __wrap_##name(struct kiocb *iocb, struct iov_iter *iter)		\
{										\
	return client_transfer(iocb, iter, __real_##name);			\
}

CLIENT(cifs_direct_readv)
CLIENT(cifs_direct_writev)
CLIENT(cifs_user_readv)
CLIENT(cifs_user_writev)
CLIENT(cifs_strict_readv)
CLIENT(cifs_strict_writev)

typedef ssize_t nfs_rw(struct kiocb *iocb, struct iov_iter *iter, bool swap);
nfs_rw __real_nfs_file_direct_read, __wrap_nfs_file_direct_read;
nfs_rw __real_nfs_file_direct_write, __wrap_nfs_file_direct_write;

static ssize_t nfs_read(struct kiocb *iocb, struct iov_iter *iter)
{
	return __real_nfs_file_direct_read(iocb, iter, false);
}

static ssize_t nfs_write(struct kiocb *iocb, struct iov_iter *iter)
{
	return __real_nfs_file_direct_write(iocb, iter, false);
}

/* (nothing is swapped here) */
ssize_t __wrap_nfs_file_direct_read(struct kiocb *iocb, struct iov_iter *iter, bool swap)
{
	return client_transfer(iocb, iter, nfs_read);
}

ssize_t __wrap_nfs_file_direct_write(struct kiocb *iocb, struct iov_iter *iter, bool swap)
{
	return client_transfer(iocb, iter, nfs_write);
}

/* Before a second try at a read, which has missed nothing of the program's memory.  There is no MMU to do this by. */
size_t __wrap_fault_in_safe_writeable(const char __user *addr, size_t size);
size_t __wrap_fault_in_safe_writeable(const char __user *addr, size_t size)
{
	return size;
}
