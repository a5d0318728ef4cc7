// SPDX-License-Identifier: GPL-2.0
/*
 * Waits for files of this kernel and of the host at once.  A thread cannot sleep in both: it sleeps in the host, and is
 * woken there by a *bell*, a descriptor of the host that it listens to.  Before it sleeps it arms the wait: each file gets
 * an entry of ours in its wait queues, as poll(2) has it, and the first event rings the bell.
 *
 * A thread has one armed wait at most.  The files stay open until the wait is over, or the thread ends.
 */
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include "members.h"

/* our entry in one wait queue */
struct queued {
	struct list_head	list;
	wait_queue_head_t	*head;
	wait_queue_entry_t	entry;
	struct lkl_wait		*wait;
	__poll_t		key;
};

struct lkl_wait {
	poll_table		table;
	struct list_head	queues;
	unsigned int		bell;
	bool			alone;		/* one of those that wait is enough */
	bool			rung;
	bool			failed;
	unsigned int		n;
	struct file		*files[];	/* NULL: no number, or not open */
};

static int ring(wait_queue_entry_t *entry, unsigned int mode, int sync, void *key)
{
	struct queued *q = container_of(entry, struct queued, entry);

	if ((key && !(key_to_poll(key) & q->key)) || q->wait->rung)
		return 0;
	q->wait->rung = true;
	lkl_ops->ring(q->wait->bell);
	return 1;
}

static void enqueue(struct file *file, wait_queue_head_t *head, poll_table *table)
{
	struct lkl_wait *wait = container_of(table, struct lkl_wait, table);
	struct queued *q = kmalloc(sizeof(*q), GFP_KERNEL);

	if (!q) {
		wait->failed = true;
		return;
	}
	q->head = head;
	q->wait = wait;
	q->key = table->_key;
	init_waitqueue_func_entry(&q->entry, ring);
	list_add(&q->list, &wait->queues);
	if (wait->alone)
		add_wait_queue_exclusive(head, &q->entry);
	else
		add_wait_queue(head, &q->entry);
}

/* as do_pollfd() in fs/select.c; arms the wait on the way, until something is ready */
static int look(struct lkl_wait *wait, struct pollfd __user *fds)
{
	struct pollfd one;
	unsigned int i;
	__poll_t mask;
	int ready = 0;

	for (i = 0; i < wait->n; i++) {
		if (copy_from_user(&one, &fds[i], sizeof(one)))
			return -EFAULT;
		mask = one.fd < 0 ? 0 : EPOLLNVAL;
		if (one.fd >= 0)
			wait->files[i] = fget(one.fd);
		if (wait->files[i]) {
			wait->table._key = demangle_poll(one.events) | EPOLLERR | EPOLLHUP;
			mask = vfs_poll(wait->files[i], &wait->table) & wait->table._key;
		}
		if (mask) {
			ready++;
			wait->table._qproc = NULL;
		}
		if (put_user(mangle_poll(mask), &fds[i].revents))
			return -EFAULT;
	}
	return wait->failed && !ready ? -ENOMEM : ready;
}

/* private call: how many of the files are ready, with their revents set; if none is, the wait is armed */
long lkl_wait_arm(struct pollfd __user *fds, unsigned long n, unsigned long bell, unsigned long alone)
{
	struct lkl_thread *t = current->thread.owner;
	struct lkl_wait *wait;
	int ready;

	lkl_end_wait(t);
	wait = kvzalloc(struct_size(wait, files, n), GFP_KERNEL);
	if (!wait)
		return -ENOMEM;
	INIT_LIST_HEAD(&wait->queues);
	wait->bell = bell;
	wait->alone = alone;
	wait->n = n;
	init_poll_funcptr(&wait->table, enqueue);
	t->wait = wait;
	ready = look(wait, fds);
	if (ready)
		lkl_end_wait(t);
	return ready;
}

/* private call: the wait is over */
long lkl_wait_disarm(void)
{
	lkl_end_wait(current->thread.owner);
	return 0;
}

/* this thread was woken alone, and leaves something: another one is to look */
static void pass_on(struct lkl_wait *wait, struct queued *q)
{
	if (waitqueue_active(q->head) && (vfs_poll(wait->files[0], NULL) & q->key))
		wake_up_poll(q->head, q->key);
}

void lkl_end_wait(struct lkl_thread *t)
{
	struct lkl_wait *wait = t->wait;
	struct queued *q, *next;
	unsigned int i;

	if (likely(!wait))
		return;
	t->wait = NULL;
	list_for_each_entry_safe(q, next, &wait->queues, list) {
		remove_wait_queue(q->head, &q->entry);
		if (wait->alone && wait->rung)
			pass_on(wait, q);
		kfree(q);
	}
	for (i = 0; i < wait->n; i++)
		if (wait->files[i])
			fput(wait->files[i]);
	kvfree(wait);
}

/* the instance ends: what sleeping threads wait for is to be closed */
void lkl_end_waits(void)
{
	struct lkl_thread *t;

	list_for_each_entry(t, &lkl_threads, list)
		lkl_end_wait(t);
}
