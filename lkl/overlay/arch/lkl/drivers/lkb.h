/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LKL_LKB_H
#define _LKL_LKB_H
#include <linux/types.h>

struct block_device;

/*
 * Reads a part of the disk into the application's memory, if the host has it at hand: bytes, which may be less, or -errno;
 * nothing is waited for.  -EOPNOTSUPP: of this disk it cannot be done.
 */
long lkb_read_around(struct block_device *bdev, loff_t off, void __user *to, size_t len);
#endif
