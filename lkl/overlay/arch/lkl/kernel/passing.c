// SPDX-License-Identifier: GPL-2.0
/*
 * Files that are under way between two processes: sent over a socket of the host (unix(7), SCM_RIGHTS), and not received yet.
 * What the host carries is a socket of its own, the *ticket*.  The file waits here for whoever receives the ticket, however
 * often that happens.
 *
 * The host tells nobody that it has thrown a message away.  But it knows which tickets still exist, in a process or in a
 * message.  So the files of all others are closed: when a process has received something, and every 100 ms as long as any
 * file is here.
 */
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include "lkl.h"
#include "members.h"

struct passed {
	struct file	*file;
	unsigned int	half;		/* what the host has of it: LKL_PASS_* */
};

/* more than fit into four messages */
#define MOST		1024
/* tickets may exist whose file is not here yet */
#define SPARE		64
#define LOOK_AGAIN	(HZ / 10)
#define EXISTS		XA_MARK_1

static void look(struct work_struct *work);
long lkl_pass_look(void);
static DEFINE_XARRAY(all);
static unsigned int count;
static DECLARE_DELAYED_WORK(again, look);

/* private call: the file at fd waits for whoever receives the ticket, which exists */
long lkl_pass_park(int fd, unsigned long ticket, unsigned int half)
{
	struct passed *p;
	long err;

	if (count >= MOST)
		lkl_pass_look();
	if (count >= MOST)
		return -ETOOMANYREFS;
	p = kmalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	p->file = fget_raw(fd);
	p->half = half;
	err = p->file ? xa_insert(&all, ticket, p, GFP_KERNEL) : -EBADF;
	if (err) {
		if (p->file)
			fput(p->file);
		kfree(p);
		return err;
	}
	count++;
	schedule_delayed_work(&again, LOOK_AGAIN);
	return 0;
}

/* private call: a descriptor of the file that waits for the ticket, and above 32 bits what the host has of it */
long lkl_pass_take(unsigned long ticket)
{
	int fd = get_unused_fd_flags(0);
	struct passed *p;

	if (fd < 0)
		return fd;
	p = xa_load(&all, ticket);
	if (!p) {
		put_unused_fd(fd);
		return -ENOENT;
	}
	fd_install(fd, get_file(p->file));
	return fd | (unsigned long)p->half << 32;
}

/* private call: a descriptor of what a process, by the host's pid, has at fd */
long lkl_pass_from(unsigned int pid, unsigned int from)
{
	struct task_struct *task = lkl_leader_of(pid);
	struct file *file = task ? fget_task(task, from) : NULL;
	int fd;

	if (!file)
		return -EBADF;
	fd = get_unused_fd_flags(0);
	if (fd < 0)
		fput(file);
	else
		fd_install(fd, file);
	return fd;
}

static void drop(unsigned long ticket, struct passed *p)
{
	xa_erase(&all, ticket);
	count--;
	if (p->half)
		lkl_ops->ticket_gone(ticket);
	fput(p->file);
	kfree(p);
}

/* what is not marked goes */
static void drop_unmarked(void)
{
	unsigned long ticket;
	struct passed *p;

	xa_for_each(&all, ticket, p) {
		if (xa_get_mark(&all, ticket, EXISTS))
			xa_clear_mark(&all, ticket, EXISTS);
		else
			drop(ticket, p);
	}
}

/* private call: files whose ticket does not exist any more are closed */
long lkl_pass_look(void)
{
	unsigned int most = count + SPARE;
	struct lkl_ticket *tickets;
	long i, n;

	if (!count)
		return 0;
	tickets = kmalloc_array(most, sizeof(*tickets), GFP_KERNEL);
	if (!tickets)
		return -ENOMEM;
	/* nobody else runs from here on: what is here now had a ticket before the host was asked */
	n = lkl_ops->tickets(tickets, most);
	for (i = 0; i < n && n < most; i++)
		if (xa_load(&all, tickets[i].ticket))
			xa_set_mark(&all, tickets[i].ticket, EXISTS);
	if (n >= 0 && n < most)
		drop_unmarked();
	kfree(tickets);
	return n < 0 ? n : 0;
}

static void look(struct work_struct *work)
{
	lkl_pass_look();
	if (count)
		schedule_delayed_work(&again, LOOK_AGAIN);
}

/* the instance ends: nobody is to receive anything */
void lkl_pass_nothing(void)
{
	cancel_delayed_work_sync(&again);
	drop_unmarked();
}
