// SPDX-License-Identifier: GPL-2.0
/*
 * Disks on host files: a blk-mq driver that does a request's I/O with one host call, inline, on
 * the thread that issues it.  Nothing here sleeps in the kernel's sense, so the queue needs no
 * worker, and as there is one CPU and the host call is made with no kernel code in between, one
 * vector serves all disks.
 */
#include <linux/backing-dev.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/init.h>
#include "../kernel/lkl.h"
#include "../fs/mount.h"

#define LKB_MAX_SEGMENTS	512	/* below the host's IOV_MAX */
#define LKB_MAX_SECTORS		8192	/* 4 MiB */
#define LKB_DISCARD_BYTES	4096	/* host file systems free whole blocks */

struct lkb {
	struct lkb *next;
	int number;
	long host;
	bool dirty;		/* written since the last flush */
	struct gendisk *disk;
	struct blk_mq_tag_set set;
};

static int lkb_major, lkb_count;
static struct lkb *lkb_disks;
static struct lkl_iov lkb_iov[LKB_MAX_SEGMENTS];
/* the first write the host refused: what write-back loses, no call of the application reports */
static long lkb_first_error;

static int lkb_map(struct request *rq)
{
	struct req_iterator it;
	struct bio_vec bv;
	int n = 0;

	rq_for_each_bvec(bv, rq, it) {
		lkb_iov[n].base = page_address(bv.bv_page) + bv.bv_offset;
		lkb_iov[n++].len = bv.bv_len;
	}
	return n;
}

static blk_status_t lkb_status(long err)
{
	switch (err) {
	case 0:
		return BLK_STS_OK;
	case -EOPNOTSUPP:
	case -ENOSYS:
		return BLK_STS_NOTSUPP;
	case -ENOSPC:
	case -EDQUOT:
		return BLK_STS_NOSPC;
	default:
		return BLK_STS_IOERR;
	}
}

static blk_status_t lkb_queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *bd)
{
	struct request *rq = bd->rq;
	struct lkb *d = rq->q->queuedata;
	unsigned long off = (unsigned long)blk_rq_pos(rq) << SECTOR_SHIFT;
	long err;

	blk_mq_start_request(rq);
	switch (req_op(rq)) {
	case REQ_OP_READ:
		err = lkl_ops->blk_read(d->host, lkb_iov, lkb_map(rq), off);
		break;
	case REQ_OP_WRITE:
		d->dirty = true;
		err = lkl_ops->blk_write(d->host, lkb_iov, lkb_map(rq), off);
		break;
	case REQ_OP_FLUSH:
		err = d->dirty ? lkl_ops->blk_flush(d->host) : 0;
		d->dirty = d->dirty && err;
		break;
	case REQ_OP_DISCARD:
	case REQ_OP_WRITE_ZEROES:
		d->dirty = true;
		err = lkl_ops->blk_discard(d->host, off, blk_rq_bytes(rq),
					   req_op(rq) == REQ_OP_WRITE_ZEROES);
		break;
	default:
		err = -EOPNOTSUPP;
	}
	if (unlikely(err) && op_is_write(req_op(rq)) && err != -EOPNOTSUPP && !lkb_first_error)
		lkb_first_error = err;
	blk_mq_end_request(rq, lkb_status(err));
	return BLK_STS_OK;
}

static const struct blk_mq_ops lkb_mq = { .queue_rq = lkb_queue_rq };
static const struct block_device_operations lkb_fops = { .owner = THIS_MODULE };

static void lkb_limits(struct request_queue *q)
{
	blk_queue_logical_block_size(q, 512);
	blk_queue_physical_block_size(q, 4096);
	blk_queue_max_hw_sectors(q, LKB_MAX_SECTORS);
	blk_queue_max_segments(q, LKB_MAX_SEGMENTS);
	blk_queue_max_segment_size(q, UINT_MAX);
	blk_queue_io_opt(q, 256 << 10);		/* reads ahead 512 KiB */
	blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	blk_queue_write_cache(q, true, false);
	q->limits.discard_granularity = LKB_DISCARD_BYTES;
	blk_queue_max_discard_sectors(q, UINT_MAX >> SECTOR_SHIFT);
	blk_queue_max_write_zeroes_sectors(q, UINT_MAX >> SECTOR_SHIFT);
}

static int lkb_make_disk(struct lkb *d, unsigned long bytes, bool read_only)
{
	d->disk = blk_mq_alloc_disk(&d->set, d);
	if (IS_ERR(d->disk))
		return PTR_ERR(d->disk);
	d->disk->major = lkb_major;
	d->disk->first_minor = lkb_count;
	d->disk->minors = 1;
	d->disk->flags |= GENHD_FL_NO_PART;
	d->disk->fops = &lkb_fops;
	sprintf(d->disk->disk_name, "lkb%d", lkb_count);
	lkb_limits(d->disk->queue);
	set_disk_ro(d->disk, read_only);
	set_capacity(d->disk, bytes >> SECTOR_SHIFT);
	return add_disk(d->disk);
}

/* private call; numbers are not used again */
long lkl_disk_add(long host, unsigned long bytes, int read_only)
{
	struct lkb *d = kzalloc(sizeof(*d), GFP_KERNEL);
	int err;

	if (!d)
		return -ENOMEM;
	d->host = host;
	d->dirty = true;	/* whoever made the image may not have flushed it */
	d->set.ops = &lkb_mq;
	d->set.nr_hw_queues = 1;
	d->set.queue_depth = 64;
	d->set.numa_node = NUMA_NO_NODE;
	d->set.flags = BLK_MQ_F_SHOULD_MERGE | BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	err = blk_mq_alloc_tag_set(&d->set);
	if (err) {
		kfree(d);
		return err;
	}
	err = lkb_make_disk(d, bytes, read_only);
	if (err) {
		if (!IS_ERR(d->disk))
			put_disk(d->disk);
		blk_mq_free_tag_set(&d->set);
		kfree(d);
		return err;
	}
	d->number = lkb_count++;
	d->next = lkb_disks;
	lkb_disks = d;
	return d->number;
}

/* a disk that nothing is mounted from goes; its host descriptor is not used any more */
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
		kfree(d);
		return;
	}
}

long lkb_write_error(void)
{
	return lkb_first_error;
}

dev_t lkb_devt(unsigned int n)
{
	return MKDEV(lkb_major, n);
}

static int __init lkb_init(void)
{
	lkb_major = register_blkdev(0, "lkb");
	return lkb_major < 0 ? lkb_major : 0;
}
device_initcall(lkb_init);
