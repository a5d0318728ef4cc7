// SPDX-License-Identifier: GPL-2.0
/*
 * Disks that are files of another mount: an image inside an image.  A kernel thread for each disk carries out the
 * requests, for whoever makes one may be amid a transaction of the file system that the file lies on.
 */
#include <linux/blk-mq.h>
#include <linux/err.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include "../kernel/lkl.h"
#include "lkb_file.h"

struct lkb_file {
	struct file *file;
	loff_t start;			/* of the disk in the file */
	struct workqueue_struct *queue;
};

/* the file that the task has open as fd */
struct lkb_file *lkb_file_open(int fd, loff_t start)
{
	struct lkb_file *f = kzalloc(sizeof(*f), GFP_KERNEL);
	long err = -ENOMEM;

	if (!f)
		return ERR_PTR(err);
	f->start = start;
	f->file = fget(fd);
	if (!f->file) {
		err = -EBADF;
		goto out;
	}
	err = -EINVAL;
	if (!S_ISREG(file_inode(f->file)->i_mode) || !(f->file->f_mode & FMODE_CAN_READ))
		goto out_file;
	err = -ENOMEM;
	/* in order, and one at a time: the thread is there when memory is short */
	f->queue = alloc_ordered_workqueue("lkb_file", WQ_MEM_RECLAIM);
	if (f->queue)
		return f;
out_file:
	fput(f->file);
out:
	kfree(f);
	return ERR_PTR(err);
}

/* no request is under way */
void lkb_file_close(struct lkb_file *f)
{
	if (!f)
		return;
	destroy_workqueue(f->queue);
	fput(f->file);
	kfree(f);
}

/* what lies behind the end of the file reads as zeroes */
static long piece(struct file *file, struct bio_vec *bv, loff_t *pos, bool writes)
{
	struct iov_iter iter;
	ssize_t n;

	iov_iter_bvec(&iter, writes ? WRITE : READ, bv, 1, bv->bv_len);
	while (iov_iter_count(&iter)) {
		if (writes) {
			file_start_write(file);
			n = vfs_iter_write(file, &iter, pos, 0);
			file_end_write(file);
		} else {
			n = vfs_iter_read(file, &iter, pos, 0);
		}
		if (n < 0)
			return n;
		if (n)
			continue;
		if (writes)
			return -EIO;
		*pos += iov_iter_zero(iov_iter_count(&iter), &iter);
	}
	return 0;
}

static long transfer(struct file *file, struct request *rq, loff_t pos, bool writes)
{
	struct req_iterator it;
	struct bio_vec bv;
	long err;

	rq_for_each_bvec(bv, rq, it) {
		err = piece(file, &bv, &pos, writes);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

static long carry_out(struct lkb_file *f, struct request *rq, const struct lkl_blk_request *r)
{
	struct file *file = f->file;
	loff_t pos = f->start + r->off;

	switch (r->op) {
	case LKL_BLK_READ:
	case LKL_BLK_WRITE:
		return transfer(file, rq, pos, r->op == LKL_BLK_WRITE);
	case LKL_BLK_FLUSH:
		return vfs_fsync(file, 1);
	case LKL_BLK_DISCARD:
		return vfs_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos, r->len);
	default:
		return -EOPNOTSUPP;
	}
}

static void work(struct work_struct *work)
{
	struct lkb_work *w = container_of(work, struct lkb_work, work);
	/* memory that is needed now must not wait for what is written here */
	unsigned int flags = memalloc_noio_save(), was = current->flags & PF_LOCAL_THROTTLE;

	current->flags |= PF_LOCAL_THROTTLE;
	w->r->status = carry_out(w->file, w->rq, w->r);
	current->flags = (current->flags & ~PF_LOCAL_THROTTLE) | was;
	memalloc_noio_restore(flags);
	w->complete(w->rq);
}

void lkb_file_queue(struct lkb_file *f, struct lkb_work *w, struct request *rq, struct lkl_blk_request *r,
		    void (*complete)(struct request *rq))
{
	w->file = f;
	w->rq = rq;
	w->r = r;
	w->complete = complete;
	INIT_WORK(&w->work, work);
	queue_work(f->queue, &w->work);
}
