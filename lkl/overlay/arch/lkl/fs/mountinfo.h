/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LKL_FS_MOUNTINFO_H
#define _LKL_FS_MOUNTINFO_H
#include <linux/types.h>

long lkl_mount_about(int fd, char __user *buf, size_t size);
#endif
