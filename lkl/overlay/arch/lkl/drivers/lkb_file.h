/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LKL_LKB_FILE_H
#define _LKL_LKB_FILE_H
#include <linux/workqueue.h>

struct lkb_file;
struct lkl_blk_request;
struct request;

struct lkb_work {
	struct work_struct work;
	struct lkb_file *file;
	struct request *rq;
	struct lkl_blk_request *r;
	void (*complete)(struct request *rq);
};

struct lkb_file *lkb_file_open(int fd, loff_t start);
void lkb_file_close(struct lkb_file *f);
void lkb_file_queue(struct lkb_file *f, struct lkb_work *w, struct request *rq, struct lkl_blk_request *r,
		    void (*complete)(struct request *rq));
#endif
