/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LKL_FS_MOUNT_H
#define _LKL_FS_MOUNT_H
#include "../kernel/lkl.h"

/* where the private view has the file system of anchors (anchorfs.c) */
#define ANCHOR_DIR	"/anchor"

struct anchor_mount {
	struct anchor_mount *next;		/* older */
	/* topmost last: the file system, and a directory of it that is mounted on it; alive while they are mounted */
	struct vfsmount *layers[2];
	int disk;			/* number, -1: none */
	char path[];			/* in the private view: ANCHOR_DIR "/mnt/data" */
};
extern struct anchor_mount *anchor_mounts;	/* newest first */

void anchor_leave_cwd(void);
int anchor_find(char *name, struct path *at);
long anchor_open_root(struct anchor_mount *m, int fd, const struct cred *cred);
long anchor_umount(struct anchor_mount *m);
bool lkb_is_file(int number);
dev_t lkb_devt(unsigned int n);
long lkb_write_error(void);
void lkb_remove(int number);
long lkl_disk_node(unsigned int n);
long lkl_disk_remove(unsigned int n);
/* devices.c: whose anonymous device numbers are given out now; LKL_NO_PLACE: no mount's */
void lkl_anonymous_devs_of(unsigned int place);
/* the mount that was made last has this id: which ids are those of mounts is known from then on */
void lkl_learn_mount_ids(int id);
#endif
