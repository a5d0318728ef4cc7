// SPDX-License-Identifier: GPL-2.0
/*
 * Initcalls that wait for the first use of what they are for (the groups of vmlinux.lds.S), as a
 * module's would.  Called by a host task, before the mount or the socket that needs them.
 */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/string.h>
#include "lkl.h"

#define GROUP(name) extern initcall_entry_t lkl_deferred_##name[], lkl_deferred_##name##_end[];
GROUP(btrfs)
GROUP(xfs)
GROUP(squashfs)
GROUP(erofs)
GROUP(vfat)
GROUP(iso9660)
GROUP(net)
#undef GROUP
#define GROUP(name) { #name, lkl_deferred_##name, lkl_deferred_##name##_end }
static struct deferred_group {
	const char *name;
	initcall_entry_t *next, *end;
} groups[] __initdata = {
	GROUP(btrfs), GROUP(xfs), GROUP(squashfs), GROUP(erofs), GROUP(vfat), GROUP(iso9660),
	GROUP(net),
};
static DEFINE_MUTEX(lock);

/* (__init memory is never freed here) */
void __ref lkl_run_deferred_initcalls(const char *name)
{
	struct deferred_group *g;

	mutex_lock(&lock);
	for (g = groups; g < groups + ARRAY_SIZE(groups); g++)
		if (!strcmp(g->name, name))
			while (g->next < g->end)
				do_one_initcall(initcall_from_entry(g->next++));
	mutex_unlock(&lock);
}
