/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LKL_FS_PROC_LOCKS_H
#define _LKL_FS_PROC_LOCKS_H
#include <linux/types.h>

long lkl_proc_locks(loff_t offset, char __user *to, size_t size);
#endif
