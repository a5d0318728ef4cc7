/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LKL_FS_MOUNT_H
#define _LKL_FS_MOUNT_H
#include "../kernel/lkl.h"

struct hub_mount {
	struct hub_mount *next;		/* older */
	char path[];			/* in the private view: "/hub/mnt/data" */
};
extern struct hub_mount *hub_mounts;	/* newest first */

void hub_leave_cwd(void);
long hub_open_root(const char *name, int fd, const struct cred *cred);
dev_t lkb_devt(unsigned int n);
long lkb_write_error(void);
void lkb_remove(int number);
#endif
