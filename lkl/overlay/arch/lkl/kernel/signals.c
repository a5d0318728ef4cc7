// SPDX-License-Identifier: GPL-2.0
/*
 * Signals that files send: SIGIO of O_ASYNC and of leases, SIGURG of sockets (fcntl(2), F_SETOWN).  The process that gets one is the host's, so
 * the signal is sent on the host.  To this kernel its tasks ignore all signals, and block them: what is blocked is queued even if it is ignored
 * (sig_ignored() in kernel/signal.c), and whoever queues a signal wakes those that read a signalfd(2) of the task.  A member waits in that queue.
 *
 * Signals that a call brings upon its own caller (SIGPIPE, SIGXFSZ) are not sent from here: the embedding process sees the call's error.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/signal.h>
#include <linux/workqueue.h>
#include "members.h"

#define OWNER_TELL	(-1)

static bool any_left;

/* the leader's group; sighand->siglock is held */
static void for_each_queue(struct lkl_member *m, struct task_struct *leader,
			   void (*f)(struct lkl_member *m, struct lkl_thread *t, struct sigpending *queue))
{
	struct lkl_thread *t;

	f(m, NULL, &leader->signal->shared_pending);
	list_for_each_entry(t, &lkl_threads, list)
		if (t->task && t->member == m)
			f(m, t, &t->task->pending);
}

static void send(struct lkl_member *m, struct lkl_thread *t, struct sigpending *queue)
{
	unsigned int pid = lkl_member_pid(m);
	struct sigqueue *q;

	list_for_each_entry(q, &queue->list, list)
		if (q->info.si_code != SI_USER && pid)
			lkl_ops->send_signal(pid, t ? t->host_tid : 0, &q->info);
	/* nobody takes a signal here; the sender sets its bit in a moment, see forget_all() */
	flush_sigqueue(queue);
}

static void forget(struct lkl_member *m, struct lkl_thread *t, struct sigpending *queue)
{
	if (list_empty(&queue->list))
		sigemptyset(&queue->signal);
}

/* a signal whose bit is set is not queued again */
static void forget_of(struct lkl_member *m, struct task_struct *leader)
{
	spin_lock_irq(&leader->sighand->siglock);
	for_each_queue(m, leader, forget);
	spin_unlock_irq(&leader->sighand->siglock);
}

/* after a call, or soon */
void lkl_forget_signals(void)
{
	if (likely(!any_left))
		return;
	any_left = false;
	lkl_for_each_member(forget_of);
}

static void forget_later(struct work_struct *work)
{
	lkl_forget_signals();
}
static DECLARE_WORK(forget_work, forget_later);

/* a signal is being queued for a task of the member: sighand->siglock is held */
static int on_signal(wait_queue_entry_t *entry, unsigned int mode, int sync, void *key)
{
	struct lkl_member *m = entry->private;
	struct task_struct *leader = lkl_leader(m);

	if (key || !leader)
		return 0;
	for_each_queue(m, leader, send);
	any_left = true;
	if (current->thread.owner)
		set_thread_flag(TIF_NOTIFY_RESUME);	/* to exit_to_user_work() */
	schedule_work(&forget_work);
	return 0;
}

/* the leader, before its threads are made: they inherit its mask */
void lkl_watch_signals(struct lkl_member *m, wait_queue_entry_t *entry)
{
	siginitsetinv(&current->blocked, sigmask(SIGKILL) | sigmask(SIGSTOP));
	init_waitqueue_func_entry(entry, on_signal);
	entry->private = m;
	add_wait_queue(&current->sighand->signalfd_wqh, entry);
}

void lkl_unwatch_signals(wait_queue_entry_t *entry)
{
	remove_wait_queue(&current->sighand->signalfd_wqh, entry);
}

/* kind << 32 | the host's id; 0: nobody, or nobody that lives */
static long owner_of(struct file *file)
{
	struct task_struct *task;
	struct lkl_thread *t;
	long kind, id = 0;

	rcu_read_lock();
	read_lock_irq(&file->f_owner.lock);
	switch (file->f_owner.pid_type) {
	case PIDTYPE_PID:
		kind = F_OWNER_TID;
		break;
	case PIDTYPE_PGID:
		kind = F_OWNER_PGRP;
		break;
	default:
		kind = F_OWNER_PID;
	}
	task = pid_task(file->f_owner.pid, PIDTYPE_PID);
	if (task) {
		t = task->thread.owner;
		if (kind == F_OWNER_TID)
			id = t ? t->host_tid : 0;
		else
			id = lkl_pid_of(task->tgid);
	}
	read_unlock_irq(&file->f_owner.lock);
	rcu_read_unlock();
	return kind << 32 | id;
}

/*
 * It is the host that says whether the one may send the other a signal, when the signal is sent or, if the host says already that the
 * caller may not, now: then the file's credentials stay the caller's, which has no right to the leader.
 */
static long set_owner(struct file *file, int kind, unsigned int id, bool may_signal)
{
	static const enum pid_type types[] = {
		[F_OWNER_TID] = PIDTYPE_PID, [F_OWNER_PID] = PIDTYPE_TGID, [F_OWNER_PGRP] = PIDTYPE_PGID,
	};
	struct task_struct *to = NULL;
	const struct cred *was = NULL;

	if (kind < F_OWNER_TID || kind > F_OWNER_PGRP || (id && kind == F_OWNER_PGRP))
		return -EINVAL;
	if (id && kind == F_OWNER_TID)
		to = current;
	else if (id)
		to = lkl_leader_of(id);
	if (id && !to)
		return -ESRCH;
	if (to == current)
		current->thread.owner->host_tid = id;
	if (may_signal)
		was = override_creds(lkl_root_cred);
	__f_setown(file, to ? task_pid(to) : NULL, types[kind], 1);
	if (was)
		revert_creds(was);
	return 0;
}

/* private call: F_SETOWN_EX with ids of the host, a thread only the caller itself; kind -1: F_GETOWN_EX, kind << 32 | id */
long lkl_owner(unsigned int fd, int kind, unsigned int id, bool may_signal)
{
	struct fd f = fdget(fd);
	long r = -EBADF;

	if (f.file)
		r = kind == OWNER_TELL ? owner_of(f.file) : set_owner(f.file, kind, id, may_signal);
	fdput(f);
	return r;
}
