// SPDX-License-Identifier: GPL-2.0
/*
 * Application threads in the kernel: their tasks, their calls, their end.  (members.c has the processes they belong to.)  A task serves the requests of its thread.
 * If the thread itself drives the CPU, and the task is the last that ran, a call is a call (lkl_call()); else the
 * request is posted, and the task takes it up when it is scheduled, on whatever host thread that happens.
 */
#include <linux/fdtable.h>
#include <linux/resume_user_mode.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/syscalls.h>
#include <asm/syscall.h>
#include "cpu.h"
#include "members.h"

unsigned int lkl_inside;
unsigned int lkl_stopped;
unsigned int lkl_nr_threads;
LIST_HEAD(lkl_threads);
/*
 * Threads without a task, whose member has ended in order: its process is still there for a moment, and another host thread of
 * it may post a call just now, or look whether its call is done.
 */
static LIST_HEAD(buried);
/* for those who look (look.c): how often each call was made, and how many calls each member made, in the order of their rows */
unsigned long lkl_calls[__NR_syscalls];
unsigned long lkl_member_calls[LKL_MEMBERS];

static struct lkl_thread *thread_of(struct lkl_call_slot *w)
{
	return container_of(w, struct lkl_thread, slot);
}

void lkl_post(struct lkl_call_slot *w)
{
	struct lkl_thread *t = thread_of(w);

	if (w->nr == LKL_NR_thread_new || w->nr == LKL_NR_member_exit) {
		lkl_member_request(w);
		return;
	}
	if (w->nr == LKL_NR_thread_exit) {
		t = (struct lkl_thread *)w->args[0];
		if (!t->task) {
			w->ret = 0;
			lkl_ops->complete(w);
			return;
		}
		t->ender = w;
	}
	/* the process ends: this thread of it waits for ever */
	if (!t->task)
		return;
	t->posted = true;
	lkl_wake_thread(t);
}

/* the task takes up what is posted, or ends */
void lkl_wake_thread(struct lkl_thread *t)
{
	/* to the scheduler its thread ran all the time that it was current, out in user code: a call does not pay for that */
	if (!t->task->on_rq)
		t->task->se.vruntime = 0;
	wake_up_state(t->task, TASK_PARKED);
}

/* the thread that waits need not be the one that drives */
static void complete_request(struct lkl_call_slot *w)
{
	lkl_ops->complete(w);
}

/* as complete_signal() does for all threads of a process that a signal ends: TASK_KILLABLE is over, too */
static void kill_wait(struct task_struct *task)
{
	unsigned long flags;

	spin_lock_irqsave(&task->sighand->siglock, flags);
	sigaddset(&task->pending.signal, SIGKILL);
	signal_wake_up(task, 1);
	spin_unlock_irqrestore(&task->sighand->siglock, flags);
}

static void interrupt_wait(struct lkl_thread *t)
{
	if (READ_ONCE(t->slot.interrupted) & BY_DEADLY_SIGNAL)
		kill_wait(t->task);
	else
		set_notify_signal(t->task);
}

void lkl_interrupt_waits(void)
{
	struct lkl_thread *t;

	list_for_each_entry(t, &lkl_threads, list)
		if (READ_ONCE(t->slot.interrupted) && t->serving)
			interrupt_wait(t);
}

/* all calls but the running one are to end */
void lkl_interrupt_others(void)
{
	struct lkl_thread *t;

	list_for_each_entry(t, &lkl_threads, list)
		if (t->task && t->task != current)
			set_notify_signal(t->task);
}

#define EXIT_TO_USER_WORK (_TIF_NOTIFY_RESUME | _TIF_NOTIFY_SIGNAL | _TIF_SIGPENDING | _TIF_RESTORE_SIGMASK)

/* what a real kernel does on its way to user mode; may sleep */
static noinline void exit_to_user_work(struct lkl_thread *t)
{
	do {
		resume_user_mode_work(NULL);
		lkl_forget_signals();
		WRITE_ONCE(t->slot.interrupted, 0);
		clear_thread_flag(TIF_NOTIFY_SIGNAL);
	} while (read_thread_flags() & _TIF_NOTIFY_RESUME);
	restore_saved_sigmask();
	if (unlikely(test_thread_flag(TIF_SIGPENDING)))
		flush_signals(current);		/* signals are the host's business */
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
	if (likely((unsigned long)nr < __NR_syscalls)) {
		lkl_calls[nr]++;
		return sys_call_table[nr](a[0], a[1], a[2], a[3], a[4], a[5]);
	}
	if (nr >= LKL_NR_PRIVATE && nr < LKL_NR_PRIVATE_END)
		return lkl_private_calls[nr - LKL_NR_PRIVATE](a[0], a[1], a[2], a[3], a[4], a[5]);
	return -ENOSYS;
}

static inline void serve(struct lkl_thread *t, long nr, const unsigned long *args, int want_fd)
{
	long ret = -ENODEV;

	t->serving = true;
	lkl_inside++;
	lkl_member_calls[t->slot.home % LKL_MEMBERS]++;
	if (unlikely(READ_ONCE(t->slot.interrupted)))
		interrupt_wait(t);
	if (want_fd >= 0)
		claim_fd(want_fd);
	if (likely(!lkl_stopped))
		ret = dispatch(nr, args);
	t->slot.ret = ret;
	if (unlikely((read_thread_flags() & EXIT_TO_USER_WORK) || READ_ONCE(t->slot.interrupted)))
		exit_to_user_work(t);
	lkl_inside--;
	t->serving = false;
}

/*
 * The call is done on its own host thread, and others want to run.  A thread that polls takes over from here; else
 * they get their turn first, on this thread: a few of them, for most are done at once, and to wake the clock's thread for
 * the rest costs more.  What still wants to run then goes on elsewhere.
 */
#define TURNS	4
static noinline void yield_to_runnable(struct lkl_thread *t)
{
	unsigned long start = jiffies;
	int turns;

	for (turns = 0; turns < TURNS && jiffies == start; turns++) {
		if (turns && single_task_running())
			return;
		if (!single_task_running() && READ_ONCE(lkl_shared.pollers))
			break;
		t->may_leave = true;
		yield();
		t->may_leave = false;
		if (t->answered)
			return;
	}
	if (!single_task_running())
		__atomic_fetch_or(&lkl_shared.pending, PEND_RESCHED, __ATOMIC_SEQ_CST);
}

static inline bool others_wait(void)
{
	return unlikely(!single_task_running() || need_resched());
}

/*
 * The call is done on the host thread of another task, which has nothing else to do.  The task stays current, as after a
 * call on its own thread: this thread is on its way out to user code, and as a rule calls again before anything else is to
 * be done.
 */
static void stay_current(struct lkl_thread *t)
{
	if (others_wait())
		return;
	if (pending()) {
		if (READ_ONCE(lkl_shared.pending) != PEND_RESCHED)
			return;
		__atomic_fetch_and(&lkl_shared.pending, ~PEND_RESCHED, __ATOMIC_SEQ_CST);
	}
	lkl_shared.current_in_user = &t->slot;
	lkl_exit(LKL_RUN_IDLE);
}

/* leaves for the caller if its thread drives; else completes the request, and the task goes on */
static void call_done(struct lkl_thread *t)
{
	if (lkl_driver == &t->slot) {
		if (others_wait())
			yield_to_runnable(t);
		if (t->answered) {
			t->answered = false;
			return;
		}
		if (lkl_driver == &t->slot) {
			lkl_shared.current_in_user = &t->slot;
			lkl_exit(LKL_RUN_DONE);
		}
	}
	complete_request(&t->slot);
	stay_current(t);
}

static void __noreturn thread_exit(struct lkl_thread *t)
{
	struct lkl_member *m = t->member;

	list_del(&t->list);
	lkl_nr_threads--;
	lkl_end_wait(t);
	current->thread.owner = NULL;
	if (t->ender) {
		t->ender->ret = 0;
		complete_request(t->ender);
	}
	if (t->ender || lkl_is_dead(t)) {
		kfree(t);
	} else {
		t->task = NULL;
		list_add(&t->list, &buried);
	}
	lkl_member_lost_thread(m);
	do_exit(0);
}

/* of those whose process has left for good */
static void free_buried(void)
{
	struct lkl_thread *t, *next;

	list_for_each_entry_safe(t, next, &buried, list) {
		if (!lkl_has_left_for_good(t->slot.home))
			continue;
		list_del(&t->list);
		kfree(t);
	}
}

void __noreturn lkl_thread_loop(struct lkl_thread *t)
{
	for (;;) {
		while (!t->posted && !lkl_is_gone(t)) {
			__set_current_state(TASK_PARKED);
			schedule();
		}
		t->posted = false;
		if (t->ender || lkl_is_gone(t))
			thread_exit(t);
		if (unlikely(t->slot.home != lkl_driver_home())) {
			lkl_hand_to(&t->slot);
			if (lkl_is_gone(t))
				thread_exit(t);
		}
		if (lkl_driver == &t->slot) {
			/* on its own thread: a call like any other, with the caller's frames below it */
			t->passed = 0;
			lkl_shared.current_in_user = &t->slot;
			lkl_exit(LKL_RUN_CALL);
		}
		serve(t, t->slot.nr, t->slot.args, t->slot.want_fd);
		call_done(t);
	}
}

LKL_API long lkl_call(struct lkl_call_slot *w, long nr, const unsigned long *args, int want_fd)
{
	struct lkl_thread *t = thread_of(w);
	unsigned long seq = ++lkl_shared.entry_seq;

	lkl_driver = w;
	if (unlikely(pending()))
		lkl_irq_poll();
	/*
	 * The thread that was to take over when this one left has not come yet, so this thread may not make call after call.
	 * It may make one, in which it often waits for the other thread.
	 */
	if (likely(single_task_running())) {
		t->passed = 0;
	} else if (t->passed++) {
		t->passed = 0;
		t->serving = true;	/* args are the thread's own memory: go on at home only */
		yield();
	}
	serve(t, nr, args, want_fd);
	if (likely(lkl_shared.entry_seq == seq)) {
		if (others_wait())
			yield_to_runnable(t);
		if (likely(lkl_shared.entry_seq == seq))
			return LKL_RUN_DONE;
		if (t->answered) {
			t->answered = false;
			lkl_thread_loop(t);
		}
	}
	call_done(t);
	lkl_thread_loop(t);
}

/* the first thing that a thread's task runs */
static int thread_start(void *arg)
{
	struct lkl_thread *t = arg;
	struct lkl_call_slot *maker = t->maker;

	current->thread.owner = t;
	t->task = current;
	/* how late a sleep may be is the host's to say: it adds its own slack */
	current->timer_slack_ns = 1;
	t->slot.stack_top = (unsigned long)task_pt_regs(current) & ~63UL;
	t->maker = NULL;
	if (t->made)
		complete(t->made);
	t->made = NULL;
	if (maker) {
		maker->ret = (long)&t->slot;
		complete_request(maker);
	}
	lkl_thread_loop(t);
}

/* a thread of current's member, of which current is the leader; maker: whose request it is, or NULL */
struct lkl_thread *lkl_create_thread(struct lkl_member *m, struct lkl_call_slot *maker, struct completion *made)
{
	struct kernel_clone_args args = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD,
		.fn = thread_start,
	};
	struct lkl_thread *t = kzalloc(sizeof(*t), GFP_KERNEL);
	int pid;

	BUILD_BUG_ON(offsetof(struct lkl_thread, slot));
	free_buried();
	if (!t)
		return ERR_PTR(-ENOMEM);
	t->member = m;
	t->slot.home = lkl_member_number(m);
	t->maker = maker;
	t->made = made;
	list_add_tail(&t->list, &lkl_threads);
	lkl_nr_threads++;
	args.fn_arg = t;
	pid = kernel_clone(&args);
	if (pid < 0) {
		pr_err("lkl: no task for a thread: %d\n", pid);
		list_del(&t->list);
		lkl_nr_threads--;
		kfree(t);
		return ERR_PTR(pid);
	}
	return t;
}

void lkl_for_each_request(void (*f)(struct lkl_call_slot *w))
{
	struct lkl_thread *t;

	list_for_each_entry(t, &lkl_threads, list) {
		if (t->serving || t->posted)
			f(&t->slot);
		f(t->ender);
		f(t->maker);
	}
	lkl_for_each_member_request(f);
	f(lkl_booter);
}
