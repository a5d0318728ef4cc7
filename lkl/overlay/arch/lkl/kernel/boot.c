// SPDX-License-Identifier: GPL-2.0
/* Boot, and pid 1's life: it makes the first member, and is the parent of all tasks that lose theirs. */
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/start_kernel.h>
#include <linux/task_work.h>
#include "lkl.h"

bool lkl_log_on;
unsigned long lkl_window, lkl_window_bytes = LKL_WINDOW_BYTES;
struct lkl_call_slot *lkl_booter;

/* entered with the alignment of a function */
static void boot_fiber(void)
{
	start_kernel();
}

LKL_API long lkl_boot(struct lkl_call_slot *w, const struct lkl_host_ops *ops, unsigned long mem,
		      unsigned long bytes, const char *cmdline, unsigned int flags)
{
	int err;

	lkl_ops = ops;
	lkl_log_on = flags & LKL_BOOT_LOG;
	lkl_shared.call = (unsigned long)lkl_call;
	lkl_shared.deadline = ~0UL;
	lkl_booter = w;
	lkl_window = mem + bytes;
	err = lkl_setup(mem, bytes, cmdline);
	if (err)
		return err;
	/* the idle fiber starts on init_stack */
	return lkl_run_first(w, (unsigned long)task_pt_regs(&init_task) & ~63UL, boot_fiber);
}

static void raise_limits(void)
{
	struct rlimit *lim = current->signal->rlim;

	/* the host counts descriptors and file sizes; here nothing may stand in the way */
	lim[RLIMIT_NOFILE] = (struct rlimit){ 1048576, 1048576 };
	lim[RLIMIT_NPROC] = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
}

/* pid 1, in "user mode" */
void lkl_run_user_init(void)
{
	raise_limits();
	ignore_signals(current);	/* copied to all host tasks; EPIPE etc. are still returned, and nobody waits for a child */
	lkl_anchor_enter();
	lkl_booter->ret = lkl_first_member();
	lkl_ops->complete(lkl_booter);
	lkl_booter = NULL;
	for (;;) {
		set_current_state(TASK_IDLE);
		schedule();
		if (task_work_pending(current))
			task_work_run();
	}
}
