/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LKL_FS_PIPE_LOOK_H
#define _LKL_FS_PIPE_LOOK_H
#include <linux/types.h>

long lkl_pipe_look(int fd, char __user *to, size_t size);
#endif
