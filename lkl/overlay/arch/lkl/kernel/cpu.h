/* SPDX-License-Identifier: GPL-2.0 */
/* The virtual CPU, between cpu.c (which has the rules) and thread.c. */
#ifndef _LKL_CPU_H
#define _LKL_CPU_H
#include "lkl.h"

extern struct lkl_call_slot *lkl_driver;	/* whose host thread drives; NULL: no application thread's */

static inline bool pending(void)
{
	return READ_ONCE(lkl_shared.pending) != 0;
}

/* leave to the host thread that drives, for good: current's frames are dead */
void __noreturn lkl_exit(long how);
/* leave the CPU to the thread of w, and go on from here when that thread has taken it */
void lkl_hand_to(struct lkl_call_slot *w);
/* the member whose thread drives */
static inline unsigned int lkl_driver_home(void)
{
	return lkl_driver ? lkl_driver->home : lkl_shared.home;
}
/* members.c */
bool lkl_is_gone(const struct lkl_thread *t);	/* the task is to end */
bool lkl_is_dead(const struct lkl_thread *t);	/* and the memory of its process is not there any more */
/* thread.c: a request has come in */
void lkl_post(struct lkl_call_slot *w);
void __noreturn lkl_thread_loop(struct lkl_thread *t);
/* oops.c */
extern bool lkl_dead;
long lkl_run_dead(struct lkl_call_slot *driver);
long lkl_member_died(struct lkl_call_slot *driver);
/* thread.c: all requests but those that are still in lkl_shared.inbox */
void lkl_for_each_request(void (*f)(struct lkl_call_slot *w));
/* thread.c: a signal handler wants the wait of some call to end */
void lkl_interrupt_waits(void);
#endif
