/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The words that host threads and the kernel share.  lkl/src/cpu/slots.rs mirrors and explains them, and
 * lkl/src/cpu/protocol.rs has the protocol: everything here is touched without the CPU held.  Words that other threads
 * write at other times lie on other cache lines.  kernel/layout_rows.h has a row for each field.
 */
#ifndef _LKL_SHARED_H
#define _LKL_SHARED_H

struct lkl_call_slot;

struct lkl_shared {
	/* every call writes these */
	unsigned int		cpu;		/* 0: free, 1: held */
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
	unsigned int		pad1[11];
	/* threads that find the CPU held write these */
	unsigned long		wake_cost_ns;
	unsigned long		last_contended_ns;
	unsigned int		backoff_ns;
	unsigned int		backoff_skips;
	unsigned long		pad2[5];
	/* statistics */
	unsigned long		counters[8];
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
} __attribute__((aligned(64)));

extern struct lkl_shared lkl_shared;
#endif
