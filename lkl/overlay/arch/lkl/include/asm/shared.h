/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The words that host threads and the kernel share.  Mirrored, and explained, in lkl/src/cpu/words.rs, which has the
 * protocol: everything here is touched without the CPU held.
 */
#ifndef _LKL_SHARED_H
#define _LKL_SHARED_H

struct lkl_waiter;

struct lkl_shared {
	unsigned int		cpu;		/* 0: free, 1: held */
	unsigned int		pollers;	/* threads that look at pending and at the CPU */
	unsigned long		pending;	/* PEND_* and interrupt numbers */
	struct lkl_waiter	*entries;	/* requests of threads that found the CPU held */
	struct lkl_waiter	*out;		/* holder only: the thread that is current and out in user code,
						 * its kernel stack empty; NULL: idle is current */
	void			*host_sp;	/* holder only: context of the host thread that drives */
	unsigned long		call;		/* lkl_call(), for the door */
	unsigned long		entered;	/* holder only: entries from the host so far */
	unsigned long		deadline;	/* of the clock event, CLOCK_MONOTONIC; ~0: none */
	unsigned long		timer_until;
	unsigned long		waiter_until;
	unsigned int		timer_word;
	unsigned int		unused;
	unsigned long		wake_cost;
	unsigned long		held_at;
	unsigned int		hold_off;
	unsigned int		not_worth;
	unsigned long		counters[8];
} __attribute__((aligned(64)));

/* One request of a host thread; the first part of struct lkl_thread. */
struct lkl_waiter {
	unsigned int		state;		/* futex word; WAITER_* in words.rs */
	unsigned int		kick;		/* a signal handler wants the wait of the call to end */
	struct lkl_waiter	*next;		/* on entries */
	unsigned long		stack_top;
	long			nr;
	unsigned long		args[6];
	int			want_fd;
	unsigned int		unused;
	unsigned int		done_on;	/* host processor of whoever completed it */
	unsigned int		patience;	/* how long to poll, ns */
	long			ret;
	unsigned long		woken_at;	/* by whoever completed the request */
} __attribute__((aligned(64)));

extern struct lkl_shared lkl_shared;
#endif
