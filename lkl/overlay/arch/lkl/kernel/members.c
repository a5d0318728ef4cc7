// SPDX-License-Identifier: GPL-2.0
/*
 * The processes that use the instance.  To the kernel a member is a thread group.  Its leader is a task of ours, which
 * makes the tasks of the member's threads, and which is the last to go.  The leader never serves a call, so that a thread
 * can be made while others wait.
 *
 * A member ends in order, by a request of its own last thread, or when another member has seen that its process is no more.
 * Then a call of it may be under way: the call goes on, on any host thread, with user copies that fail (lkl_user_gone).
 */
#include <linux/completion.h>
#include <linux/fdtable.h>
#include <linux/fs_struct.h>
#include <linux/path.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <linux/uaccess.h>
#include "cpu.h"
#include "members.h"

struct lkl_member {
	struct list_head	list;
	unsigned int		number;
	struct task_struct	*leader;
	struct lkl_call_slot	*requests;	/* LKL_NR_thread_new */
	struct lkl_call_slot	*ender;		/* LKL_NR_member_exit */
	unsigned int		nr_threads;
	bool			gone;		/* its tasks end */
	bool			dead;		/* so does its memory: the process is no more */
	bool			redone;		/* what its process was to do for disks */
	bool			bare;		/* has nothing of the task that made it */
	/* while a fork waits: where the first thread's slot goes, and what is completed when the thread is there */
	struct lkl_call_slot	**first;
	struct completion	*made;
};

#define END_TRIES	(HZ / 5)	/* ticks: 200 ms */

/* lkl_member_row.tgid: the member has ended in order */
#define LKL_HAS_LEFT	(~0U)
/* lkl_member_row.pid: the member's own process has not begun; the rest is the process that makes it */
#define LKL_NOT_BEGUN	(1U << 31)

static LIST_HEAD(members);
static unsigned int last_number;
bool lkl_user_gone;

unsigned int lkl_member_number(const struct lkl_member *m)
{
	return m->number;
}

bool lkl_is_gone(const struct lkl_thread *t)
{
	return t->member->gone || t->dead;
}

bool lkl_is_dead(const struct lkl_thread *t)
{
	return t->member->dead || t->dead;
}

static struct lkl_member_row *row_of(unsigned int number)
{
	return &lkl_shared.members[number % LKL_MEMBERS];
}

bool lkl_has_left_for_good(unsigned int number)
{
	return READ_ONCE(row_of(number)->number) != number;
}

static struct lkl_member *find_member(unsigned int number)
{
	struct lkl_member *m;

	list_for_each_entry(m, &members, list)
		if (m->number == number)
			return m;
	return NULL;
}

/* of a living process, by the host's pid: a task that has the table of files of the process; NULL: there is none */
struct task_struct *lkl_leader_of(unsigned int pid)
{
	struct lkl_member *m;

	list_for_each_entry(m, &members, list)
		if (row_of(m->number)->pid == pid && !m->gone)
			return m->leader;
	return NULL;
}

struct task_struct *lkl_leader(const struct lkl_member *m)
{
	return m->leader;
}

unsigned int lkl_member_pid(const struct lkl_member *m)
{
	unsigned int pid = READ_ONCE(row_of(m->number)->pid);

	return pid & LKL_NOT_BEGUN ? 0 : pid;
}

unsigned int lkl_pid_of(unsigned int tgid)
{
	struct lkl_member *m;

	list_for_each_entry(m, &members, list)
		if (m->leader && m->leader->tgid == tgid)
			return lkl_member_pid(m);
	return 0;
}

void lkl_for_each_member(void (*f)(struct lkl_member *m, struct task_struct *leader))
{
	struct lkl_member *m;

	list_for_each_entry(m, &members, list)
		if (m->leader)
			f(m, m->leader);
}

/* private call: the host has let the caller set the limit */
long lkl_file_limit(unsigned int pid, unsigned long bytes)
{
	struct task_struct *leader = lkl_leader_of(pid);

	if (!leader)
		return -ESRCH;
	task_lock(leader);
	leader->signal->rlim[RLIMIT_FSIZE].rlim_cur = bytes;
	task_unlock(leader);
	return 0;
}

static struct lkl_member *new_member(void)
{
	struct lkl_member *m;

	if (lkl_shared.nr_members >= LKL_MEMBERS)
		return ERR_PTR(-EAGAIN);
	m = kzalloc(sizeof(*m), GFP_KERNEL);
	if (!m)
		return ERR_PTR(-ENOMEM);
	do
		m->number = ++last_number;
	while (!m->number || row_of(m->number)->number);
	WRITE_ONCE(row_of(m->number)->has_helper, 0);
	WRITE_ONCE(row_of(m->number)->hide, LKL_HIDE_NOTHING);
	WRITE_ONCE(row_of(m->number)->pid, 0);
	WRITE_ONCE(row_of(m->number)->pollers, 0);
	WRITE_ONCE(row_of(m->number)->tgid, 0);
	lkl_member_calls[m->number % LKL_MEMBERS] = 0;
	WRITE_ONCE(row_of(m->number)->number, m->number);
	list_add_tail(&m->list, &members);
	WRITE_ONCE(lkl_shared.nr_members, lkl_shared.nr_members + 1);
	return m;
}

static void forget_member(struct lkl_member *m)
{
	lkl_areas_forget(m->number);
	/* threads that were killed while they polled; those of a member that leaves in order are parked, or look in vain */
	unsigned int pollers = __atomic_exchange_n(&row_of(m->number)->pollers, 0, __ATOMIC_SEQ_CST);

	list_del(&m->list);
	if (m->dead) {
		__atomic_fetch_sub(&lkl_shared.pollers, pollers, __ATOMIC_SEQ_CST);
		WRITE_ONCE(row_of(m->number)->number, 0);
	} else {
		/* its process may have the CPU once more, and gives the row back when it has left for good */
		WRITE_ONCE(row_of(m->number)->tgid, LKL_HAS_LEFT);
	}
	WRITE_ONCE(lkl_shared.nr_members, lkl_shared.nr_members - 1);
	kfree(m);
}

static void answer(struct lkl_call_slot *w, long ret)
{
	w->ret = ret;
	lkl_ops->complete(w);
}

static void make_thread(struct lkl_member *m, struct lkl_call_slot *w)
{
	struct lkl_thread *t = m->gone ? ERR_PTR(-ESRCH) : lkl_create_thread(m, w, NULL);

	if (IS_ERR(t))
		answer(w, PTR_ERR(t));
	else
		m->nr_threads++;
}

static bool serve_requests(struct lkl_member *m)
{
	struct lkl_call_slot *w;
	bool any = m->requests;

	while ((w = m->requests)) {
		m->requests = w->next;
		make_thread(m, w);
	}
	return any;
}

static bool is_over(const struct lkl_member *m)
{
	return m->gone && !m->nr_threads && !m->requests;
}

static void redo_requests(struct lkl_member *m)
{
	if (!m->dead || m->redone)
		return;
	m->redone = true;
	lkb_redo_requests(m->number);
}

/* the keeper must not keep files open that the program closes, nor a mount busy */
static void drop_inherited(void)
{
	lkl_close_all();
	lkl_anchor_enter();
}

/* what the leader runs */
static int lead(void *arg)
{
	struct lkl_member *m = arg;
	wait_queue_entry_t signals;
	struct lkl_thread *t;

	lkl_watch_signals(m, &signals);
	m->leader = current;
	WRITE_ONCE(row_of(m->number)->tgid, current->tgid);
	if (m->bare)
		drop_inherited();
	if (m->first) {
		t = lkl_create_thread(m, NULL, m->made);
		if (IS_ERR(t)) {
			m->gone = true;
			complete(m->made);
		} else {
			m->nr_threads++;
			*m->first = &t->slot;
		}
	}
	while (!is_over(m)) {
		if (serve_requests(m))
			continue;
		redo_requests(m);
		set_current_state(TASK_IDLE);
		if (!m->requests && !is_over(m))
			schedule();
		__set_current_state(TASK_RUNNING);
		if (task_work_pending(current))
			task_work_run();
	}
	lkl_areas_forget(m->number);
	/* its threads may have ended before the leader's first look */
	redo_requests(m);
	/* what the member had open is closed when whoever waits for its end goes on */
	lkl_close_all();
	if (m->dead)
		lkl_watches_ring();
	lkl_unwatch_signals(&signals);
	if (m->ender)
		answer(m->ender, 0);
	forget_member(m);
	do_exit(0);
}

static long start_member(struct lkl_member *m)
{
	struct kernel_clone_args args = {
		.flags = CLONE_VM,
		.exit_signal = SIGCHLD,		/* ignored by all: no zombie stays */
		.fn = lead,
		.fn_arg = m,
	};
	pid_t pid = kernel_clone(&args);

	if (pid < 0)
		forget_member(m);
	return pid < 0 ? pid : 0;
}

/* pid 1: the process that boots */
long lkl_first_member(void)
{
	struct lkl_member *m = new_member();

	return IS_ERR(m) ? PTR_ERR(m) : start_member(m);
}

/* private call: a member with one thread, and with what the calling thread has, for the child of a fork; bare: with nothing */
long lkl_member_new(struct lkl_call_slot **to, bool bare)
{
	DECLARE_COMPLETION_ONSTACK(made);
	struct lkl_call_slot *slot = NULL;
	struct lkl_member *m = new_member();
	unsigned int number;
	long err;

	if (IS_ERR(m))
		return PTR_ERR(m);
	number = m->number;
	/* if the process that makes it dies, its own may have been made, and begins in a moment */
	WRITE_ONCE(row_of(number)->pid, row_of(current->thread.owner->member->number)->pid | LKL_NOT_BEGUN);
	err = bare ? 0 : lkl_areas_fork(current->thread.owner->slot.home, number);
	if (err) {
		forget_member(m);
		return err;
	}
	m->first = &slot;
	m->made = &made;
	m->bare = bare;
	err = start_member(m);
	if (err)
		return err;
	wait_for_completion(&made);
	if (!slot)
		return -ENOMEM;
	/* the process that asked may be no more: the member ends as its maker does */
	return copy_to_user(to, &slot, sizeof(slot)) ? -EFAULT : number;
}

static void end_thread(struct lkl_thread *t)
{
	if (t->serving)
		set_notify_signal(t->task);
	else if (t->task)
		lkl_wake_thread(t);
}

/* private call: after an exec, which has taken the other threads of the process away */
long lkl_only_thread(void)
{
	struct lkl_thread *self = current->thread.owner, *t;

	lkl_areas_forget(self->slot.home);
	list_for_each_entry(t, &lkl_threads, list) {
		if (t == self || t->member != self->member)
			continue;
		t->dead = true;
		end_thread(t);
	}
	return 0;
}

static void end_member(struct lkl_member *m, bool dead)
{
	struct lkl_thread *t;

	m->gone = true;
	m->dead |= dead;
	list_for_each_entry(t, &lkl_threads, list)
		if (t->member == m)
			end_thread(t);
	if (m->leader)
		wake_up_process(m->leader);
}

/* nobody goes on with the kernel when m has left: m is to shut it down */
static bool is_last(const struct lkl_member *m)
{
	const struct lkl_member *other;

	list_for_each_entry(other, &members, list)
		if (other != m && !other->gone)
			return false;
	return true;
}

void lkl_member_request(struct lkl_call_slot *w)
{
	unsigned int number = w->nr == LKL_NR_thread_new ? w->home : w->args[0];
	struct lkl_member *m = find_member(number);

	if (!m) {
		answer(w, -ESRCH);
	} else if (w->nr == LKL_NR_member_exit && m->ender) {
		answer(w, -EALREADY);
	} else if (w->nr == LKL_NR_member_exit && !w->args[1] && is_last(m)) {
		answer(w, -EBUSY);
	} else if (w->nr == LKL_NR_thread_new) {
		w->next = m->requests;
		m->requests = w;
		wake_up_process(m->leader);
	} else {
		m->ender = w;
		end_member(m, w->args[1]);
	}
}

void lkl_member_lost_thread(struct lkl_member *m)
{
	if (!--m->nr_threads && m->gone)
		wake_up_process(m->leader);
}

void lkl_for_each_member_request(void (*f)(struct lkl_call_slot *w))
{
	struct lkl_call_slot *w, *next;
	struct lkl_member *m;

	list_for_each_entry(m, &members, list) {
		for (w = m->requests; w; w = next) {
			next = w->next;
			f(w);
		}
		f(m->ender);
	}
}

/* members that died and that nobody has seen to yet: what they hold is in the way of the unmounting */
void lkl_end_other_members(void)
{
	struct lkl_thread *self = current->thread.owner;
	struct lkl_member *m;
	int i;

	list_for_each_entry(m, &members, list)
		if (m != self->member && !m->gone)
			end_member(m, true);
	for (i = 0; i < END_TRIES && !list_is_singular(&members); i++)
		schedule_timeout_uninterruptible(1);
}
