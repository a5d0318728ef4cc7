// SPDX-License-Identifier: GPL-2.0
/*
 * Numbers of anonymous devices (0:N): file systems without a disk, and btrfs, give them as st_dev.  The host counts
 * its own from 1 up.  The kernel's begin where no host ever comes: a host has at most 100,000 mounts.  Each mount has a
 * range of its own, so its number is the same in every process, whatever is mounted first.
 *
 * get_anon_bdev() calls ida_alloc_range(), which the linker leads here (--wrap in the Makefile).
 */
#include <linux/idr.h>
#include <linux/kdev_t.h>
#include "mount.h"

#define OTHERS		(1U << 18)	/* what no mount of ours asks for */
#define MOUNTS		(1U << 19)
#define EACH		256U

static unsigned int first = OTHERS;

void lkl_anonymous_devs_of(unsigned int place)
{
	first = place < (MINORMASK + 1 - MOUNTS) / EACH ? MOUNTS + place * EACH : OTHERS;
}

int __real_ida_alloc_range(struct ida *ida, unsigned int min, unsigned int max, gfp_t gfp);
int __wrap_ida_alloc_range(struct ida *ida, unsigned int min, unsigned int max, gfp_t gfp);
int __wrap_ida_alloc_range(struct ida *ida, unsigned int min, unsigned int max, gfp_t gfp)
{
	/* the range of get_anon_bdev(), and of nobody else */
	if (min == 1 && max == MINORMASK)
		min = first;
	return __real_ida_alloc_range(ida, min, max, gfp);
}
