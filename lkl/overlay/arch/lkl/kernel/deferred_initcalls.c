// SPDX-License-Identifier: GPL-2.0
/*
 * Initcalls, and the data of the code that they belong to, that wait for the first use of what they are for (the groups
 * of vmlinux.lds.S), as a module's would.  Called by a host task, before the mount or the socket that needs them.
 */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/nls.h>
#include <linux/sched.h>
#include <linux/string.h>
#include "lkl.h"

#define GROUPS GROUP(btrfs) GROUP(xfs) GROUP(squashfs) GROUP(erofs) GROUP(vfat) GROUP(iso9660) GROUP(exfat) \
	GROUP(ntfs3) GROUP(f2fs) GROUP(udf) GROUP(nilfs2) GROUP(jfs) GROUP(hfs) GROUP(hfsplus) GROUP(minix) \
	GROUP(cramfs) GROUP(romfs) GROUP(overlay) GROUP(nfs) GROUP(cifs) GROUP(9p) GROUP(net) GROUP(nls_usual) GROUP(nls)
#define CALLS(name) extern initcall_entry_t lkl_deferred_##name[], lkl_deferred_##name##_end[];
#define GROUP(name) CALLS(name) extern char lkl_cold_##name[], lkl_cold_##name##_end[];
GROUPS
#undef GROUP
#define GROUP(name) \
	{ #name, lkl_deferred_##name, lkl_deferred_##name##_end, lkl_cold_##name, lkl_cold_##name##_end },
static struct deferred_group {
	const char *name;
	initcall_entry_t *next, *end;
	char *cold, *cold_end;		/* data that nobody has touched */
} groups[] __initdata = {
	GROUPS
};
static DEFINE_MUTEX(lock);

/* who runs a group's calls: one of them may ask for what this group is for (a code page that is made of another) */
static struct task_struct *runs;

/* (__init memory is never freed here) */
static void __ref run_group(struct deferred_group *g)
{
	if (g->cold < g->cold_end && lkl_ops->load_data((unsigned long)g->cold, g->cold_end - g->cold))
		return;
	g->cold = g->cold_end;
	while (g->next < g->end)
		do_one_initcall(initcall_from_entry(g->next++));
}

void __ref lkl_run_deferred_initcalls(const char *name)
{
	struct deferred_group *g;

	if (READ_ONCE(runs) == current)
		return;
	mutex_lock(&lock);
	WRITE_ONCE(runs, current);
	for (g = groups; g < groups + ARRAY_SIZE(groups); g++)
		if (!strcmp(g->name, name))
			run_group(g);
	WRITE_ONCE(runs, NULL);
	mutex_unlock(&lock);
}

/* The code pages: a mount asks for one by its name (--wrap in the Makefile).  Few ask for more than the usual three. */
struct nls_table *__real_load_nls(const char *charset);
struct nls_table *__wrap_load_nls(const char *charset);
struct nls_table *__wrap_load_nls(const char *charset)
{
	struct nls_table *found;

	lkl_run_deferred_initcalls("nls_usual");
	found = __real_load_nls(charset);
	if (found)
		return found;
	lkl_run_deferred_initcalls("nls");
	return __real_load_nls(charset);
}

struct nls_table *__real_load_nls_default(void);
struct nls_table *__wrap_load_nls_default(void);
struct nls_table *__wrap_load_nls_default(void)
{
	lkl_run_deferred_initcalls("nls_usual");
	return __real_load_nls_default();
}
