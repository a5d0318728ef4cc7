// SPDX-License-Identifier: GPL-2.0
/*
 * Disks whose sectors the host has: a blk-mq driver that hands each request to the host by one
 * call.  The host finishes it there and then, or queues it and completes it later from any of its
 * threads: completed requests come back on lkb_done, and LKL_IRQ_BLOCK says that there are some.
 *
 * queue_rq and the interrupt run with the CPU held, so the driver's own data needs no lock; only lkb_done
 * is shared with other threads.  Nothing here sleeps in the kernel's sense.
 *
 * A disk may be a file of another mount instead (lkb_file.c).
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/slab.h>
#include <asm/shared.h>
#include "../kernel/cpu.h"
#include "../kernel/members.h"
#include "../fs/mount.h"
#include "lkb.h"
#include "lkb_file.h"

#define LKB_MAX_SEGMENTS	512	/* below the host's IOV_MAX */
#define LKB_OWN_SEGMENTS	8	/* for more, memory is taken for the time of the request */
#define LKB_DEPTH		64
/*
 * No driver of a host has this major number (BLKDEV_MAJOR_MAX), so st_dev and st_ino name one file on both sides.  The
 * major number is not registered: disks are found by their device number alone.
 */
#define LKB_MAJOR		3840
#define LKB_UNNAMED		0x80000	/* the first minor number of disks without a place */

struct lkb {
	struct lkb *next;
	int number;
	unsigned int minor;
	long dev;
	struct lkb_file *file;		/* not NULL: the disk is a file of another mount, and not the host's */
	/* writes completed, and how many of them the last good flush found completed when it started */
	unsigned long written, flushed;
	unsigned int in_flight;		/* queued by the host */
	/* for those who look: requests that are done, by their op, and bytes of LKL_BLK_READ and LKL_BLK_WRITE */
	unsigned long requests[LKL_BLK_ZERO + 1], moved[2];
	struct gendisk *disk;
	struct blk_mq_tag_set set;
};

/* as kernel/look.c */
#define FIELD(field)	{ "lkb." #field, offsetof(struct lkb, field) },
LKL_API const struct lkl_abi_row lkb_look_rows[] = {
	{ "sizeof lkb", sizeof(struct lkb) },
	FIELD(next) FIELD(number) FIELD(minor) FIELD(requests) FIELD(moved)
	{ NULL, 0 }
};
#undef FIELD

struct lkb_request {
	struct lkl_blk_request r;
	struct lkb_work work;		/* of a disk in a file */
	bool queued;			/* the host has it */
	unsigned long written;		/* a flush: d->written when it was started */
	struct lkl_iov *taken;		/* to be freed */
	struct lkl_iov own[LKB_OWN_SEGMENTS];
};

static int lkb_count;
static struct lkb *lkb_disks;
static struct lkl_blk_request *lkb_done;
/* when there is no memory: for requests that are done on the spot */
static struct lkl_iov lkb_spare[LKB_MAX_SEGMENTS];
/* the first write the host refused: what write-back loses, no call of the application reports */
static long lkb_first_error;

static struct lkl_iov *lkb_vectors(struct request *rq, struct lkb_request *q)
{
	unsigned int most = blk_rq_nr_phys_segments(rq);

	q->taken = NULL;
	if (most <= LKB_OWN_SEGMENTS)
		return q->own;
	q->taken = kmalloc_array(most, sizeof(struct lkl_iov), GFP_ATOMIC | __GFP_NOWARN);
	if (q->taken)
		return q->taken;
	q->r.flags |= LKL_BLK_NOW;
	return lkb_spare;
}

/* neighbours in memory become one vector */
static void lkb_map(struct request *rq, struct lkb_request *q)
{
	struct lkl_iov *iov = q->r.iov = lkb_vectors(rq, q);
	struct req_iterator it;
	struct bio_vec bv;
	unsigned int n = 0;

	rq_for_each_bvec(bv, rq, it) {
		void *base = page_address(bv.bv_page) + bv.bv_offset;

		if (n && iov[n - 1].base + iov[n - 1].len == base) {
			iov[n - 1].len += bv.bv_len;
			continue;
		}
		iov[n].base = base;
		iov[n++].len = bv.bv_len;
	}
	q->r.n = n;
}

/*
 * One thread is in here, and nothing but the running code wants the CPU; nor will anybody, for no other thread has a task.
 * A transfer is short enough to do with that if no thread has found the CPU held for a while.
 */
#define LKB_QUIET_NS	(100 * NSEC_PER_MSEC)
static bool lkb_alone(const struct lkb *d, const struct request *rq)
{
	if (d->in_flight || lkl_inside != 1 || !single_task_running())
		return false;
	if (lkl_nr_threads == 1)
		return true;
	return (req_op(rq) == REQ_OP_READ || req_op(rq) == REQ_OP_WRITE) && !(rq->cmd_flags & REQ_FUA) &&
	       sched_clock() - READ_ONCE(lkl_shared.last_contended_ns) > LKB_QUIET_NS;
}

static bool lkb_prepare(struct lkb *d, struct request *rq, bool last)
{
	struct lkb_request *q = blk_mq_rq_to_pdu(rq);
	struct lkl_blk_request *r = &q->r;

	q->taken = NULL;
	q->queued = false;
	r->done = &lkb_done;
	r->taker = lkl_driver_home();
	r->dev = d->dev;
	r->n = 0;
	r->status = 0;
	r->off = (unsigned long)blk_rq_pos(rq) << SECTOR_SHIFT;
	r->len = blk_rq_bytes(rq);
	r->flags = (rq->cmd_flags & REQ_FUA ? LKL_BLK_FUA : 0) |
		   (last && lkb_alone(d, rq) ? LKL_BLK_ALONE : 0);
	switch (req_op(rq)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		r->op = req_op(rq) == REQ_OP_READ ? LKL_BLK_READ : LKL_BLK_WRITE;
		lkb_map(rq, q);
		return true;
	case REQ_OP_FLUSH:
		r->op = LKL_BLK_FLUSH;
		q->written = d->written;
		return true;
	case REQ_OP_DISCARD:
		r->op = LKL_BLK_DISCARD;
		return true;
	case REQ_OP_WRITE_ZEROES:
		r->op = LKL_BLK_ZERO;
		return true;
	default:
		return false;
	}
}

/* whatever the host says, reads and writes fail with EIO, or for want of space */
static blk_status_t lkb_status(const struct lkl_blk_request *r)
{
	switch (r->status) {
	case 0:
		return BLK_STS_OK;
	case -ENOSPC:
	case -EDQUOT:
		return BLK_STS_NOSPC;
	case -EOPNOTSUPP:
		return r->op >= LKL_BLK_DISCARD ? BLK_STS_NOTSUPP : BLK_STS_IOERR;
	default:
		return BLK_STS_IOERR;
	}
}

/* the block layer need not ask again; it writes zeroes itself */
static void lkb_not_supported(struct lkb *d, unsigned int op)
{
	if (op == LKL_BLK_DISCARD)
		blk_queue_max_discard_sectors(d->disk->queue, 0);
	else
		blk_queue_max_write_zeroes_sectors(d->disk->queue, 0);
}

static void lkb_account(struct lkb *d, const struct lkb_request *q)
{
	const struct lkl_blk_request *r = &q->r;

	d->requests[r->op]++;
	if (r->op <= LKL_BLK_WRITE && !r->status)
		d->moved[r->op] += blk_rq_bytes(blk_mq_rq_from_pdu((void *)q));
	if (r->op == LKL_BLK_READ)
		return;
	if (r->op == LKL_BLK_FLUSH) {
		if (!r->status && q->written > d->flushed)
			d->flushed = q->written;
	} else if (r->status || !(r->flags & LKL_BLK_FUA)) {
		d->written++;
	}
	if (likely(!r->status))
		return;
	if (r->op >= LKL_BLK_DISCARD && r->status == -EOPNOTSUPP)
		lkb_not_supported(d, r->op);
	else if (!lkb_first_error)
		lkb_first_error = r->status;
}

static void lkb_complete(struct request *rq)
{
	struct lkb_request *q = blk_mq_rq_to_pdu(rq);

	lkb_account(rq->q->queuedata, q);
	kfree(q->taken);
	blk_mq_end_request(rq, lkb_status(&q->r));
}

/* hands a prepared request to the host */
static void lkb_submit(struct lkb *d, struct request *rq)
{
	struct lkb_request *q = blk_mq_rq_to_pdu(rq);
	long ret;

	if (q->r.op != LKL_BLK_FLUSH || d->flushed != d->written) {
		if (d->file) {
			lkb_file_queue(d->file, &q->work, rq, &q->r, lkb_complete);
			return;
		}
		q->queued = true;
		ret = lkl_ops->blk_submit(&q->r);
		if (ret == LKL_BLK_QUEUED) {
			d->in_flight++;
			return;
		}
		q->queued = false;
		q->r.status = ret;
	}
	lkb_complete(rq);
}

static blk_status_t lkb_queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *bd)
{
	struct request *rq = bd->rq;
	struct lkb *d = rq->q->queuedata;

	blk_mq_start_request(rq);
	/* NTFS replays its journal even so: what it changed then stays in memory, and nobody's data is lost */
	if (get_disk_ro(d->disk) && op_is_write(req_op(rq))) {
		blk_mq_end_request(rq, BLK_STS_IOERR);
		return BLK_STS_OK;
	}
	if (!lkb_prepare(d, rq, bd->last)) {
		blk_mq_end_request(rq, BLK_STS_NOTSUPP);
		return BLK_STS_OK;
	}
	lkb_submit(d, rq);
	return BLK_STS_OK;
}

static irqreturn_t lkb_interrupt(int irq, void *unused)
{
	struct lkl_blk_request *r = __atomic_exchange_n(&lkb_done, NULL, __ATOMIC_ACQUIRE), *next;

	for (; r; r = next) {
		struct lkb_request *q = container_of(r, struct lkb_request, r);
		struct request *rq = blk_mq_rq_from_pdu(q);
		struct lkb *d = rq->q->queuedata;

		next = r->next;
		d->in_flight--;
		q->queued = false;
		blk_mq_complete_request(rq);
	}
	return IRQ_HANDLED;
}

/* a request may be done twice: it says where, and what */
static bool lkb_redo(struct request *rq, void *taker)
{
	struct lkb_request *q = blk_mq_rq_to_pdu(rq);
	struct lkb *d = rq->q->queuedata;

	if (!q->queued || q->r.taker != *(unsigned int *)taker)
		return true;
	d->in_flight--;
	kfree(q->taken);
	lkb_prepare(d, rq, false);
	lkb_submit(d, rq);
	return true;
}

void lkb_redo_requests(unsigned int taker)
{
	struct lkb *d;

	/* what they did is done, even if nobody was told */
	lkb_interrupt(LKL_IRQ_BLOCK, NULL);
	for (d = lkb_disks; d; d = d->next)
		blk_mq_tagset_busy_iter(&d->set, lkb_redo, &taker);
}

static const struct blk_mq_ops lkb_mq = {
	.queue_rq = lkb_queue_rq,
	.complete = lkb_complete,
};
static const struct block_device_operations lkb_fops = { .owner = THIS_MODULE };

long lkb_read_around(struct block_device *bdev, loff_t off, void __user *to, size_t len)
{
	struct lkb *d = bdev->bd_disk->fops == &lkb_fops ? bdev->bd_disk->queue->queuedata : NULL;
	long got;

	if (!d || d->file)
		return -EOPNOTSUPP;
	got = lkl_ops->blk_read_around(d->dev, off, (unsigned long)to, len);
	if (got > 0) {
		d->requests[LKL_BLK_READ]++;
		d->moved[LKL_BLK_READ] += got;
	}
	return got;
}

static void lkb_limits(struct request_queue *q, const struct lkl_disk *what)
{
	unsigned int granule = max(what->discard_block, what->block);

	blk_queue_logical_block_size(q, what->block);
	blk_queue_physical_block_size(q, max(what->block, 4096u));
	blk_queue_max_hw_sectors(q, what->max_bytes >> SECTOR_SHIFT);
	blk_queue_max_segments(q, LKB_MAX_SEGMENTS);
	blk_queue_max_segment_size(q, UINT_MAX);
	blk_queue_io_opt(q, 256 << 10);		/* reads ahead 512 KiB */
	blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	blk_queue_write_cache(q, what->features & LKL_DISK_FLUSH, what->features & LKL_DISK_FUA);
	if (what->features & LKL_DISK_DISCARD) {
		q->limits.discard_granularity = granule;
		blk_queue_max_discard_sectors(q, round_down(UINT_MAX, granule) >> SECTOR_SHIFT);
	}
	if (what->features & LKL_DISK_ZERO)
		blk_queue_max_write_zeroes_sectors(q, round_down(UINT_MAX, granule) >> SECTOR_SHIFT);
}

static int lkb_make_disk(struct lkb *d, const struct lkl_disk *what)
{
	d->disk = blk_mq_alloc_disk(&d->set, d);
	if (IS_ERR(d->disk))
		return PTR_ERR(d->disk);
	d->disk->major = LKB_MAJOR;
	d->disk->first_minor = d->minor;
	d->disk->minors = 1;
	d->disk->flags |= GENHD_FL_NO_PART;
	d->disk->fops = &lkb_fops;
	sprintf(d->disk->disk_name, "lkb%d", lkb_count);
	lkb_limits(d->disk->queue, what);
	set_disk_ro(d->disk, what->features & LKL_DISK_READ_ONLY);
	set_capacity(d->disk, what->bytes >> SECTOR_SHIFT);
	return add_disk(d->disk);
}

/* private call; numbers are not used again */
long lkl_disk_add(const struct lkl_disk *what)
{
	struct lkb *d = kzalloc(sizeof(*d), GFP_KERNEL);
	int err;

	if (!d)
		return -ENOMEM;
	d->dev = what->dev;
	if (what->features & LKL_DISK_FILE) {
		d->file = lkb_file_open(what->dev, what->start);
		if (IS_ERR(d->file)) {
			err = PTR_ERR(d->file);
			kfree(d);
			return err;
		}
	}
	d->minor = what->place < LKL_NO_PLACE ? what->place : LKB_UNNAMED + lkb_count;
	d->written = 1;		/* the maker of the image may not have flushed it */
	d->set.ops = &lkb_mq;
	d->set.nr_hw_queues = 1;
	d->set.queue_depth = LKB_DEPTH;
	d->set.cmd_size = sizeof(struct lkb_request);
	d->set.numa_node = NUMA_NO_NODE;
	d->set.flags = BLK_MQ_F_SHOULD_MERGE | BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	err = blk_mq_alloc_tag_set(&d->set);
	if (err) {
		lkb_file_close(d->file);
		kfree(d);
		return err;
	}
	err = lkb_make_disk(d, what);
	if (err) {
		if (!IS_ERR(d->disk))
			put_disk(d->disk);
		blk_mq_free_tag_set(&d->set);
		lkb_file_close(d->file);
		kfree(d);
		return err;
	}
	d->number = lkb_count++;
	d->next = lkb_disks;
	lkb_disks = d;
	return d->number;
}

/* a disk that nothing is mounted from goes, when its requests are done; the host is told */
void lkb_remove(int number)
{
	struct lkb **at, *d;

	for (at = &lkb_disks; (d = *at); at = &d->next) {
		if (d->number != number)
			continue;
		*at = d->next;
		del_gendisk(d->disk);
		put_disk(d->disk);
		blk_mq_free_tag_set(&d->set);
		if (d->file)
			lkb_file_close(d->file);
		else
			lkl_ops->blk_gone(d->dev);
		kfree(d);
		return;
	}
}

long lkb_write_error(void)
{
	return lkb_first_error;
}

/* whether the disk is a file of another mount */
bool lkb_is_file(int number)
{
	struct lkb *d;

	for (d = lkb_disks; d; d = d->next)
		if (d->number == number)
			return d->file;
	return false;
}

/* the device number of disk n; 0: there is none */
dev_t lkb_devt(unsigned int n)
{
	struct lkb *d;

	for (d = lkb_disks; d; d = d->next)
		if (d->number == n)
			return MKDEV(LKB_MAJOR, d->minor);
	return 0;
}

static int __init lkb_init(void)
{
	return request_irq(LKL_IRQ_BLOCK, lkb_interrupt, 0, "lkb", &lkb_disks);
}
device_initcall(lkb_init);
