// SPDX-License-Identifier: GPL-2.0
/*
 * No memory: the call fails.  Linux would kill a process, or panic where it finds none; here all tasks are one
 * program's, and a panic would take its images away.  The linker leads calls of out_of_memory() here (--wrap in the
 * Makefile).
 *
 * False lets the allocation fail, true tries again.  What cannot fail gets at the reserves for true.  If that does not help in
 * seconds, nothing will: the kernel ends rather than to let its program wait for ever.
 */
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/sched.h>
#include <linux/vmstat.h>
#include "../fs/journals.h"

#define PATIENCE	(2 * HZ)	/* for write-back, which makes memory free */
#define LAST		(20 * HZ)	/* for what cannot fail */

/* how long the current task has come here again and again */
static unsigned long waited(void)
{
	static const struct task_struct *who;
	static unsigned long since, last;

	if (who != current || time_after(jiffies, last + HZ))
		since = jiffies;
	who = current;
	last = jiffies;
	return jiffies - since;
}

static bool can_shrink(void)
{
	return global_node_page_state(NR_FILE_DIRTY) || global_node_page_state(NR_WRITEBACK);
}

bool __wrap_out_of_memory(struct oom_control *oc);
bool __wrap_out_of_memory(struct oom_control *oc)
{
	lkl_relieve_memory();
	/* whoever makes memory free needs the CPU; some callers try again at once, and for ever (xlog_kvmalloc()) */
	schedule_timeout_uninterruptible(1);
	if (oc->gfp_mask & __GFP_NOFAIL) {
		if (waited() > LAST)
			panic("out of memory: the kernel has too little (--mem)");
		return true;
	}
	return can_shrink() && waited() <= PATIENCE;
}
