/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The words that host threads and the kernel share.  lkl/src/cpu/slots.rs mirrors and explains them, and
 * lkl/src/cpu/protocol.rs has the protocol: everything here is touched without the CPU held.  Words that other threads
 * write at other times lie on other cache lines.  kernel/layout_rows.h has a row for each field.
 */
#ifndef _LKL_SHARED_H
#define _LKL_SHARED_H

struct lkl_call_slot;
struct lkl_net_link;

/*
 * A process that uses the instance.  Numbers are not used again, for the pids of a host repeat.  The row of member N is
 * number N % LKL_MEMBERS, so no two living members have the same N % LKL_MEMBERS.
 */
#define LKL_MEMBERS	512
struct lkl_member_row {
	unsigned int		number;		/* 0: the row is free */
	unsigned int		pid;		/* the host's; 0: the member has not begun */
	unsigned int		tgid;		/* the kernel's: what F_GETLK and the like name */
	unsigned int		pollers;	/* how many of lkl_shared.pollers are its threads */
	/* what other members ask of its memory (mm/areas.h) */
	unsigned int		hide;		/* futex word: LKL_HIDE_* */
	unsigned int		has_helper;	/* a thread of it looks at hide */
	unsigned long		hide_addr;
	unsigned long		hide_len;
};
#define LKL_HIDE_NOTHING	0	/* or it is done */
#define LKL_HIDE_ASKED		1
#define LKL_HIDE_TAKEN		2	/* the helper thread is at it */
#define LKL_HIDE_FAILED		3

struct lkl_shared {
	/* every call writes these */
	unsigned int		cpu;		/* 0: free; else whose it is: slots.rs */
	unsigned int		pollers;	/* threads that look at pending and at the CPU */
	unsigned long		pending;	/* PEND_* and interrupt numbers */
	struct lkl_call_slot	*inbox;		/* requests of threads that found the CPU held */
	struct lkl_call_slot	*current_in_user; /* holder only: the thread that is current and out in user code,
						 * its kernel stack empty; NULL: idle is current */
	void			*host_sp;	/* holder only: context of the host thread that drives */
	unsigned long		call;		/* lkl_call(), for the host's switch */
	unsigned long		entry_seq;	/* holder only: entries from the host so far */
	unsigned long		deadline;	/* of the clock event, CLOCK_MONOTONIC; ~0: none */
	/* threads that sleep write these; every call reads them */
	unsigned long		timer_until;
	unsigned long		waiter_until;
	unsigned int		timer_word;
	unsigned int		clock_home;	/* the member whose thread is the clock; 0: nobody's */
	unsigned int		nr_members;	/* those that live */
	unsigned int		home;		/* holder only: the member of a driver that is no application thread */
	struct lkl_call_slot	*away;		/* holder only: the thread that is to go on with the CPU */
	unsigned long		members_seen_ns; /* when a thread last looked whether all members live */
	unsigned long		disks;		/* how many there were so far */
	unsigned int		disks_lock;	/* the member that changes the host's store of their descriptors; 0: nobody */
	unsigned int		was_shared;	/* there was more than one member, or one has executed a program */
	/* threads that find the CPU held write these */
	unsigned long		wake_cost_ns;
	unsigned long		last_contended_ns;
	unsigned int		backoff_ns;
	unsigned int		backoff_skips;
	unsigned long		pad2[5];
	/* statistics */
	unsigned long		counters[10];
	unsigned long		pad3[5];
	struct lkl_net_link	*net_links;	/* of the network interfaces */
	struct lkl_member_row	members[LKL_MEMBERS];
} __attribute__((aligned(64)));

/* One request of a host thread; the first part of struct lkl_thread. */
struct lkl_call_slot {
	unsigned int		state;		/* futex word; the values are in slots.rs */
	unsigned int		interrupted;	/* a signal handler wants the wait of the call to end */
	struct lkl_call_slot	*next;		/* in the inbox */
	unsigned long		stack_top;
	long			nr;
	unsigned long		args[6];
	int			want_fd;
	unsigned int		pad;
	unsigned int		completed_on_cpu; /* host processor of whoever completed it */
	unsigned int		spin_budget;	/* how many more waits may spin for long */
	long			ret;
	unsigned long		woken_at_ns;	/* by whoever completed the request */
	unsigned int		home;		/* the member whose thread it is */
	unsigned int		owner;		/* of lkl_askers(): the host's process that uses it; 0: it is free */
} __attribute__((aligned(64)));

extern struct lkl_shared lkl_shared;
#endif
