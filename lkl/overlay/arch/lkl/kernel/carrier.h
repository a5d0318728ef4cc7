/* SPDX-License-Identifier: GPL-2.0 */
/* The virtual CPU, between carrier.c (which has the rules) and entry.c. */
#ifndef _LKL_CARRIER_H
#define _LKL_CARRIER_H
#include "lkl.h"

extern unsigned int lkl_cpu_busy;
extern struct lkl_carrier *lkl_cpu_carrier;	/* host thread driving the CPU */

static inline bool cpu_try(void)
{
	unsigned int z = 0;
	return __atomic_compare_exchange_n(&lkl_cpu_busy, &z, 1, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}
static inline void cpu_free(void)
{
	lkl_cpu_carrier = NULL;
	__atomic_store_n(&lkl_cpu_busy, 0, __ATOMIC_SEQ_CST);
}
static inline bool pending(void)
{
	return __atomic_load_n(&lkl_irq_pending, __ATOMIC_SEQ_CST) != 0;
}
static inline void host_relax(void)
{
	asm volatile("pause" ::: "memory");
}

void lkl_push(struct lkl_carrier **list, struct lkl_carrier *c, unsigned long bit);
void lkl_handoff(struct lkl_carrier *n, unsigned int how);
unsigned int lkl_wait_grant(struct lkl_carrier *c);
void lkl_process(struct lkl_carrier *c);
bool lkl_settle(struct lkl_carrier *c);
void lkl_run_pending(struct lkl_carrier *c);
extern struct lkl_carrier *lkl_entry_list, *lkl_create_list;
#endif
