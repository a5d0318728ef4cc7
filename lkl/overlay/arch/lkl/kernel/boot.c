// SPDX-License-Identifier: GPL-2.0
/* Boot, and pid 1's life: it makes the tasks of host threads. */
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/start_kernel.h>
#include <linux/task_work.h>
#include "lkl.h"

struct task_struct *lkl_creator;
unsigned int lkl_booted;
bool lkl_log_on;

static void boot_fiber(void)
{
	start_kernel();
}

LKL_API int lkl_boot(struct lkl_carrier *c, const struct lkl_host_ops *ops, unsigned long mem,
		     unsigned long bytes, const char *cmdline, unsigned int flags)
{
	unsigned long *sp;
	int err;

	lkl_ops = ops;
	lkl_log_on = flags & LKL_BOOT_LOG;
	err = lkl_setup(mem, bytes, cmdline);
	if (err)
		return err;
	/* the idle fiber starts on init_stack */
	sp = (unsigned long *)((char *)init_stack + THREAD_SIZE - sizeof(struct pt_regs) - 64);
	sp = (unsigned long *)((unsigned long)sp & ~15UL);
	*--sp = 0;				/* alignment: entry sees rsp = 8 mod 16 */
	*--sp = (unsigned long)boot_fiber;
	sp -= 6;
	lkl_boot_on(c, sp);
	while (!__atomic_load_n(&lkl_booted, __ATOMIC_ACQUIRE))
		lkl_ops->park(&lkl_booted, 0);
	return 0;
}

static bool create_host_tasks(void)
{
	struct lkl_carrier *c = lkl_take_create_list(), *n;
	bool any = c;
	int pid;

	for (; c; c = n) {
		struct kernel_clone_args args = {
			.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD,
			.stack = (unsigned long)c,
		};
		n = c->next;
		lkl_small_stack = true;
		pid = kernel_clone(&args);
		lkl_small_stack = false;
		if (pid < 0) {
			pr_err("lkl: no task for a host thread: %d\n", pid);
			lkl_create_failed(c);
		}
	}
	return any;
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
	ignore_signals(current);	/* shared by all host tasks; EPIPE etc. are still returned */
	lkl_hub_enter();
	lkl_creator = current;
	__atomic_store_n(&lkl_booted, 1, __ATOMIC_RELEASE);
	lkl_ops->unpark(&lkl_booted);
	for (;;) {
		if (!create_host_tasks()) {
			set_current_state(TASK_IDLE);
			if (!create_host_tasks())
				schedule();
			__set_current_state(TASK_RUNNING);
		}
		if (task_work_pending(current))
			task_work_run();
	}
}
