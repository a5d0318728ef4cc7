/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LKL_FS_CHROOT_H
#define _LKL_FS_CHROOT_H

long lkl_root_anchor(const char *path);
long lkl_root_at(int dfd, const char __user *pathname);
#endif
