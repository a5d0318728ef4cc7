/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LKL_FS_ATCALLS_H
#define _LKL_FS_ATCALLS_H
#include <linux/types.h>

struct statfs;
long lkl_getxattrat(int dfd, const char __user *pathname, unsigned int at_flags,
		    const char __user *name, void __user *value, size_t size);
long lkl_setxattrat(int dfd, const char __user *pathname, unsigned long flags,
		    const char __user *name, const void __user *value, size_t size);
long lkl_listxattrat(int dfd, const char __user *pathname, unsigned int at_flags,
		     char __user *list, size_t size);
long lkl_removexattrat(int dfd, const char __user *pathname, unsigned int at_flags,
		       const char __user *name);
long lkl_statfsat(int dfd, const char __user *pathname, struct statfs __user *buf);
long lkl_chdirat(int dfd, const char __user *pathname);
long lkl_truncateat(int dfd, const char __user *pathname, loff_t length);
long lkl_link_fd(int fd, int newdfd, const char __user *newname);
long lkl_fd_path(int fd, char __user *buf, size_t size, int even_deleted);
long lkl_reopen(int fd, int flags);
#endif
