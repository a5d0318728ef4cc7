// SPDX-License-Identifier: GPL-2.0
/*
 * The one CPU.  Every task is a fiber: it runs on a kernel stack of its own, on top of the host thread that drives the
 * CPU.  lkl/src/cpu/ has the host's side: which thread may drive, and how a host thread waits and is woken.  Only the
 * holder of the CPU runs kernel code, this file's too.
 *
 *  1. While the CPU is free, current is the idle task (lkl_shared.current_in_user is NULL), or the task of a thread that is
 *     out in user code or on its way there (lkl_shared.current_in_user).  The call of this thread was the last thing done,
 *     on whatever host thread.  The task stays rq->curr, so that the next call of the same thread switches nothing; its
 *     kernel stack is empty.
 *  2. A thread that enters and finds another task current does not touch that task.  The thread goes on in that task's
 *     context, which lets its own task be scheduled: idle's saved context, or a fresh one on the empty stack of a
 *     thread's task.
 *  3. A host thread comes in by lkl_call() or lkl_run().  It gets out by lkl_exit() or by idle, always to
 *     lkl_shared.host_sp; or lkl_call() returns, if its task never left the CPU to the host in between
 *     (lkl_shared.entry_seq).  So a task does not care which host thread runs it.
 *  4. A call runs at home: its task copies from and to the memory of its thread's process (member, members.c), so only a
 *     thread of this member may drive it.  Everything else may run on any member's thread.  __switch_to() to a call of
 *     another member stays half made: the CPU goes to the thread of that call, which finishes the switch (LKL_RESUME).
 *  5. Nothing is asynchronous: "interrupts" run when the irq flag goes on, in cpu_relax() and at every entry.  So plain C is
 *     atomic for all kernel code.
 */
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/cpu.h>
#include <linux/hardirq.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <asm/irq_regs.h>
#include "cpu.h"

struct task_struct *lkl_current = &init_task;
unsigned long lkl_irqs_on;
struct task_struct *lkl_switch_last;
struct lkl_shared lkl_shared;
struct lkl_call_slot *lkl_driver;
static struct lkl_call_slot *new_request;	/* comes in with this entry */

/* the CPU is for the thread of w from here on; leaver: whose task has just given it up, if an application thread's */
static void leave_to(struct lkl_call_slot *w, void **save, struct lkl_thread *leaver)
{
	long how = LKL_RUN_AWAY;

	if (leaver && leaver->may_leave && lkl_driver == &leaver->slot) {
		leaver->answered = true;
		how = LKL_RUN_DONE_AWAY;
	}
	lkl_shared.away = w;
	lkl_ctx_switch(save, lkl_shared.host_sp, how);
}

struct task_struct *__switch_to(struct task_struct *prev, struct task_struct *next)
{
	struct lkl_thread *t = next->thread.owner;

	lkl_switch_last = prev;
	lkl_current = next;
	lkl_user_gone = t && lkl_is_dead(t);
	if (unlikely(t && t->serving && t->slot.home != lkl_driver_home() && !lkl_user_gone))
		leave_to(&t->slot, &prev->thread.sp, prev->thread.owner);
	else
		lkl_ctx_switch(&prev->thread.sp, next->thread.sp, 0);
	return lkl_switch_last;
}

void lkl_hand_to(struct lkl_call_slot *w)
{
	leave_to(w, &current->thread.sp, NULL);
}

void __noreturn lkl_exit(long how)
{
	void *dead;

	lkl_ctx_switch(&dead, lkl_shared.host_sp, how);
	BUG();
}

static void post_new_request(void)
{
	struct lkl_call_slot *w = new_request;

	new_request = NULL;
	if (w)
		lkl_post(w);
}

/* the idle fiber: the host thread has nothing to do here until a request or an event comes */
static void wait_for_work(void)
{
	if (!pending()) {
		lkl_shared.current_in_user = NULL;
		lkl_ctx_switch(&init_task.thread.sp, lkl_shared.host_sp, LKL_RUN_IDLE);
	}
	post_new_request();
}

/*
 * Two kinds of idle.  Between calls that follow each other closely the tick goes on, for stopping it and starting it
 * again costs more than such a call (dozing: the idle loop thinks that it polls).  After DOZE_TICKS ticks
 * without a call it is stopped.
 */
#define DOZE_TICKS	2
static bool dozing;
static unsigned long last_call;

void arch_cpu_idle_enter(void)
{
	bool doze = time_before(jiffies, last_call + DOZE_TICKS);

	if (doze != dozing) {
		dozing = doze;
		cpu_idle_poll_ctrl(doze);
	}
}

/* idle, irqs off */
void arch_cpu_idle(void)
{
	wait_for_work();
	raw_local_irq_enable();
}

static void doze(void)
{
	wait_for_work();
	if (pending())
		lkl_irq_poll();
	if (!time_before(jiffies, last_call + DOZE_TICKS)) {
		dozing = false;
		cpu_idle_poll_ctrl(false);	/* ends the idle loop's polling */
	}
}

/* on the empty stack of a task that is out in user code: another thread has entered */
static void __noreturn reuse_idle_stack(void)
{
	struct lkl_thread *t = current->thread.owner;

	post_new_request();
	if (pending())
		lkl_irq_poll();
	lkl_thread_loop(t);
}

static void *fresh_context(unsigned long stack_top, void (*entry)(void))
{
	unsigned long *sp = (unsigned long *)stack_top;

	*--sp = 0;
	*--sp = (unsigned long)entry;	/* which sees rsp = 8 mod 16, as a function does */
	sp -= 6;
	memset(sp, 0, 6 * sizeof(*sp));
	return sp;
}

/* goes on where another member's thread left the CPU to the thread of lkl_shared.away */
static long resume(int how)
{
	struct lkl_thread *t = container_of(lkl_shared.away, struct lkl_thread, slot);

	lkl_shared.away = NULL;
	if (how == LKL_ADOPT)
		t->dead = true;
	lkl_user_gone = lkl_is_dead(t);
	return lkl_ctx_switch(&lkl_shared.host_sp, lkl_current->thread.sp, 0);
}

LKL_API long lkl_run(struct lkl_call_slot *driver, int how)
{
	struct lkl_call_slot *user = lkl_shared.current_in_user;

	if (unlikely(lkl_dead))
		return lkl_run_dead(driver);
	if (unlikely(how == LKL_DIED))
		return lkl_member_died(driver);
	lkl_driver = driver;
	lkl_shared.entry_seq++;
	lkl_shared.current_in_user = NULL;
	if (unlikely(how == LKL_RESUME || how == LKL_ADOPT))
		return resume(how);
	if (how == LKL_POST)
		last_call = jiffies;
	new_request = how == LKL_POST ? driver : NULL;
	return lkl_ctx_switch(&lkl_shared.host_sp,
			      user ? fresh_context(user->stack_top, reuse_idle_stack) : init_task.thread.sp, 0);
}

static struct lkl_call_slot askers[LKL_ASKERS];

LKL_API struct lkl_call_slot *lkl_askers(void)
{
	return askers;
}

LKL_API struct lkl_shared *lkl_words(void)
{
	return &lkl_shared;
}

/* boot: run the fiber until the kernel first goes idle */
long lkl_run_first(struct lkl_call_slot *driver, unsigned long stack_top, void (*entry)(void))
{
	lkl_driver = driver;
	return lkl_ctx_switch(&lkl_shared.host_sp, fresh_context(stack_top, entry), 0);
}

static void take_inbox(void)
{
	struct lkl_call_slot *w = __atomic_exchange_n(&lkl_shared.inbox, NULL, __ATOMIC_ACQUIRE), *next;

	for (; w; w = next) {
		next = w->next;
		lkl_post(w);
	}
}

void lkl_irq_poll(void)
{
	static struct pt_regs regs;
	struct pt_regs *old;
	unsigned long bits;

	lkl_irqs_on = 0;
	while ((bits = __atomic_exchange_n(&lkl_shared.pending, 0, __ATOMIC_SEQ_CST))) {
		old = set_irq_regs(&regs);
		irq_enter();
		if (bits & PEND_TIMER)
			lkl_timer_interrupt();
		if (bits & PEND_INBOX)
			take_inbox();
		if (bits & PEND_INTERRUPT)
			lkl_interrupt_waits();
		bits &= ~(PEND_TIMER | PEND_INBOX | PEND_INTERRUPT | PEND_RESCHED);
		while (bits) {
			generic_handle_irq(__ffs(bits));
			bits &= bits - 1;
		}
		irq_exit();
		set_irq_regs(old);
	}
	lkl_irqs_on = 1;
}

void lkl_cpu_relax(void)
{
	barrier();
	if (lkl_irqs_on && pending())
		lkl_irq_poll();
	else if (dozing && current == &init_task && lkl_irqs_on && !in_interrupt())
		doze();
}
