/* SPDX-License-Identifier: GPL-2.0 */
/* The processes that use the instance (members.c) and their threads (thread.c). */
#ifndef _LKL_MEMBERS_H
#define _LKL_MEMBERS_H
#include <linux/wait.h>
#include "lkl.h"

struct completion;

/* thread.c */
extern struct list_head lkl_threads;
struct lkl_thread *lkl_create_thread(struct lkl_member *m, struct lkl_call_slot *maker, struct completion *made);
void lkl_wake_thread(struct lkl_thread *t);

/* waits.c */
void lkl_end_wait(struct lkl_thread *t);
void lkl_end_waits(void);

/* passing.c */
void lkl_pass_nothing(void);

/* watches.c */
void lkl_watches_ring(void);

/* signals.c */
void lkl_watch_signals(struct lkl_member *m, wait_queue_entry_t *entry);
void lkl_unwatch_signals(wait_queue_entry_t *entry);
void lkl_forget_signals(void);

/* members.c: LKL_NR_thread_new or LKL_NR_member_exit has come in */
void lkl_member_request(struct lkl_call_slot *w);
struct task_struct *lkl_leader_of(unsigned int pid);
/* NULL: it has not begun, or has ended */
struct task_struct *lkl_leader(const struct lkl_member *m);
/* by the kernel's number of the process; 0: there is none */
unsigned int lkl_pid_of(unsigned int tgid);
/* the host's; 0: its process has not begun */
unsigned int lkl_member_pid(const struct lkl_member *m);
void lkl_for_each_member(void (*f)(struct lkl_member *m, struct task_struct *leader));
unsigned int lkl_member_number(const struct lkl_member *m);
/* the process has nothing to do with the kernel any more */
bool lkl_has_left_for_good(unsigned int number);
void lkl_member_lost_thread(struct lkl_member *m);
void lkl_for_each_member_request(void (*f)(struct lkl_call_slot *w));
/* lkb.c: what a member whose process is no more was to do for disks is done by others */
void lkb_redo_requests(unsigned int taker);
/* the other members end, and get a moment for that */
void lkl_end_other_members(void);
#endif
