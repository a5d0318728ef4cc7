// SPDX-License-Identifier: GPL-2.0
/*
 * Numbers that the host counts as well, so that those of the kernel are no other's.
 *
 * Numbers of anonymous devices (0:N): file systems without a disk, and btrfs, give them as st_dev.  The host counts
 * its own from 1 up.  The kernel's begin where no host ever comes: a host has at most 100,000 mounts.  Each mount has a
 * range of its own, so its number is the same in every process, whatever is mounted first.
 *
 * Ids of mounts (STATX_MNT_ID, fdinfo, mountinfo, name_to_handle_at()): the host counts its own from 0 up, too.
 *
 * get_anon_bdev() and mnt_alloc_id() call ida_alloc_range(), which the linker leads here (--wrap in the Makefile).
 */
#include <linux/idr.h>
#include <linux/kdev_t.h>
#include "mount.h"

#define OTHERS		(1U << 18)	/* what no mount of ours asks for */
#define MOUNTS		(1U << 19)
#define EACH		256U
#define MOUNT_IDS	(1U << 24)
#define IDS_EACH	16U

static unsigned int first = OTHERS;
static unsigned int first_id = MOUNT_IDS + LKL_NO_PLACE * IDS_EACH;
static struct ida *mount_ids;		/* of fs/namespace.c, which does not say so */
static struct ida *last;		/* whose last number was: */
static int last_id;

void lkl_learn_mount_ids(int id)
{
	if (last_id == id)
		mount_ids = last;
	else
		pr_warn("lkl: the ids of mounts are not known\n");
}

void lkl_anonymous_devs_of(unsigned int place)
{
	first_id = MOUNT_IDS + place * IDS_EACH;
	first = place < (MINORMASK + 1 - MOUNTS) / EACH ? MOUNTS + place * EACH : OTHERS;
}

int __real_ida_alloc_range(struct ida *ida, unsigned int min, unsigned int max, gfp_t gfp);
int __wrap_ida_alloc_range(struct ida *ida, unsigned int min, unsigned int max, gfp_t gfp);
int __wrap_ida_alloc_range(struct ida *ida, unsigned int min, unsigned int max, gfp_t gfp)
{
	/* the range of get_anon_bdev(), and of nobody else */
	if (min == 1 && max == MINORMASK)
		min = first;
	if (mount_ids || min || max != ~0U)
		return __real_ida_alloc_range(ida, ida == mount_ids ? first_id : min, max, gfp);
	last = ida;
	return last_id = __real_ida_alloc_range(ida, min, max, gfp);
}
