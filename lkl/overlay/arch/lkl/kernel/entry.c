// SPDX-License-Identifier: GPL-2.0
/*
 * The way of a host thread in and out: its first call, calls, its end.  carrier.c has the rules.
 */
#include <linux/fdtable.h>
#include <linux/resume_user_mode.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>
#include <linux/syscalls.h>
#include <asm/syscall.h>
#include "carrier.h"

#define SPIN_CPU	50	/* x pause */
unsigned int lkl_inside;
unsigned int lkl_stopped;

/* host thread without a task: have one created by pid 1; false: there is none to be had */
static bool attach(struct lkl_carrier *c)
{
	BUILD_BUG_ON(sizeof(*c) > LKL_CARRIER_SIZE);
	lkl_push(&lkl_create_list, c, PEND_CREATE);
	lkl_run_pending(c);
	if (lkl_wait_grant(c) == GRANT_FAILED)
		return false;
	schedule_tail(lkl_switch_last);
	c->task = current;
	local_irq_enable();
	lkl_adopt_creds();
	return true;
}

static void enqueue(struct lkl_carrier *c)
{
	c->queued = 1;
	lkl_push(&lkl_entry_list, c, PEND_ENTRY);
}

static void enter_slow(struct lkl_carrier *c)
{
	unsigned int g;
	int i;

	for (i = 0; i < SPIN_CPU && __atomic_load_n(&lkl_cpu_busy, __ATOMIC_RELAXED); i++)
		host_relax();
	if (!cpu_try()) {
		enqueue(c);
		if (!cpu_try()) {
			g = lkl_wait_grant(c);
			goto granted;
		}
	}
	lkl_cpu_carrier = c;
	if (current != &init_task && pending())
		lkl_irq_poll();
	while (current != c->task) {
		struct lkl_carrier *t = current->thread.carrier;

		if (current == &init_task) {
			if (!c->queued && READ_ONCE(c->task->__state) == TASK_PARKED)
				enqueue(c);
			lkl_ctx_switch(&c->sp, init_task.thread.sp);
			if (!lkl_settle(c))
				g = lkl_wait_grant(c);
			else {
				g = c->granted;
				c->granted = 0;
			}
			goto granted;
		}
		/* t is out in user code: take its place */
		wake_up_state(c->task, TASK_PARKED);
		if (t->want) {
			t->want = 0;
			lkl_handoff(t, GRANT_STILL);
			g = lkl_wait_grant(c);
			goto granted;
		}
		WRITE_ONCE(current->__state, TASK_PARKED);
		schedule();
	}
	c->want = 0;
	return;
granted:
	c->want = 0;
	if (g == GRANT_SWITCHED)
		schedule_tail(lkl_switch_last);
}

#define LEAVE_WORK (_TIF_NOTIFY_RESUME | _TIF_NOTIFY_SIGNAL | _TIF_SIGPENDING | _TIF_RESTORE_SIGMASK)

/* what a real kernel does on its way to user mode; may sleep */
static noinline void leave_work(struct lkl_carrier *c)
{
	do {
		resume_user_mode_work(NULL);
		if (c->intr_sent)
			lkl_irq_poll();		/* takes c off intr_list */
		c->intr_sent = 0;
		WRITE_ONCE(c->kick, 0);
		clear_thread_flag(TIF_NOTIFY_SIGNAL);
	} while (read_thread_flags() & _TIF_NOTIFY_RESUME);
	restore_saved_sigmask();
	if (unlikely(test_thread_flag(TIF_SIGPENDING)))
		flush_signals(current);		/* signals are the host's business */
}

static void leave(struct lkl_carrier *c)
{
	if (unlikely((read_thread_flags() & LEAVE_WORK) || c->kick))
		leave_work(c);
	lkl_inside--;
	for (;;) {
		if (unlikely(need_resched()))
			schedule();
		if (unlikely(!single_task_running())) {
			/* others are runnable: leave them this thread or the CPU */
			c->transient = 1;
			WRITE_ONCE(current->__state, TASK_PARKED);
			lkl_ctx_save_call(&c->sp, (void (*)(void))schedule);
			lkl_settle(c);
			c->transient = 0;
			return;
		}
		cpu_free();
		if (likely(!pending()) || !cpu_try())
			return;
		lkl_cpu_carrier = c;
		if (current != c->task) {	/* somebody took our place meanwhile */
			lkl_process(c);
			lkl_settle(c);
			return;
		}
		lkl_irq_poll();
	}
}

static inline bool enter(struct lkl_carrier *c)
{
	if (unlikely(!c->task))
		return attach(c);
	if (likely(cpu_try())) {
		lkl_cpu_carrier = c;
		if (likely(current == c->task))
			return true;
		cpu_free();
	}
	enter_slow(c);
	return true;
}

/* the next descriptor handed out is fd, if it is free */
static inline void claim_fd(unsigned int fd)
{
	struct files_struct *files = current->files;

	spin_lock(&files->file_lock);
	files->next_fd = fd;
	spin_unlock(&files->file_lock);
}

static inline long dispatch(long nr, const unsigned long *a)
{
	if (likely((unsigned long)nr < __NR_syscalls))
		return sys_call_table[nr](a[0], a[1], a[2], a[3], a[4], a[5]);
	if (nr >= LKL_NR_PRIVATE && nr < LKL_NR_PRIVATE_END)
		return lkl_private_calls[nr - LKL_NR_PRIVATE](a[0], a[1], a[2], a[3], a[4], a[5]);
	return -ENOSYS;
}

LKL_API long lkl_syscall(struct lkl_carrier *c, long nr, const unsigned long *a, int want_fd)
{
	long ret = -ENODEV;

	if (unlikely(READ_ONCE(lkl_stopped)))
		return -ENODEV;
	if (unlikely(!enter(c)))
		return -EAGAIN;
	lkl_inside++;
	if (unlikely(c->kick))
		set_thread_flag(TIF_NOTIFY_SIGNAL);
	if (want_fd >= 0)
		claim_fd(want_fd);
	if (likely(!lkl_stopped))
		ret = dispatch(nr, a);
	leave(c);
	return ret;
}

static void exit_fn(void)
{
	do_exit(0);
}

LKL_API int lkl_thread_exit(struct lkl_carrier *c)
{
	if (!c->task)
		return 0;
	if (READ_ONCE(lkl_stopped))
		return -EBUSY;
	enter_slow(c);
	if (c->intr_sent)
		lkl_irq_poll();
	lkl_ctx_save_call(&c->exit_sp, exit_fn);
	lkl_settle(c);
	memset(c, 0, sizeof(*c));
	return 0;
}

