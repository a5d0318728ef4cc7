/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mappings of the kernel's files in the memory of the programs: what struct vm_area_struct and page tables are to a Linux
 * with an MMU.  docs/design/maps.md has the rules.  The virtual CPU makes plain C atomic here; lkl_areas_lock keeps what
 * sleeps apart: whatever changes which areas there are, or what lies in one at home.
 */
#ifndef _LKL_AREAS_H
#define _LKL_AREAS_H
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/xarray.h>

/*
 * A part of a process's memory.  Without access on the host, but for the pages that were touched.
 *   shared:  a page of the page cache, which the host maps there; the area has a reference to it
 *   private: memory of the process's own, read from the file; the entry only says that it is there
 */
struct lkl_area {
	struct rb_node		node;		/* by member and address */
	struct hlist_node	of_mapping;	/* shared ones */
	unsigned int		member;
	unsigned int		prot;
	bool			shared;
	bool			lags;		/* its process did not give up write access in time */
	unsigned int		runs;		/* host mappings made here, about */
	unsigned long		nr_pages;
	pgoff_t			next;		/* what a program that goes on in order touches next */
	unsigned int		around;		/* how many pages a fault takes up */
	struct vm_area_struct	vma;		/* vm_start, vm_end, vm_pgoff, vm_file, vm_ops, vm_flags alone */
	struct xarray		pages;		/* by offset in the file */
};
/* marks of a page of a shared area: the host maps it, and may write it */
#define AREA_PRESENT	XA_MARK_0
#define AREA_WRITABLE	XA_MARK_1

#define AREA_NOT_OURS	(-EDOM)		/* no area is concerned: the call is the host's */
#define AREA_NO_HELPER	(-EXFULL)	/* the process is to start its helper thread first */

extern struct mutex lkl_areas_lock;
extern unsigned long lkl_nr_areas, lkl_area_pages;

static inline pgoff_t area_index(const struct lkl_area *a, unsigned long addr)
{
	return a->vma.vm_pgoff + ((addr - a->vma.vm_start) >> PAGE_SHIFT);
}

static inline unsigned long area_address(const struct lkl_area *a, pgoff_t index)
{
	return a->vma.vm_start + ((index - a->vma.vm_pgoff) << PAGE_SHIFT);
}

static inline bool area_has(const struct lkl_area *a, pgoff_t index)
{
	return index >= a->vma.vm_pgoff && index - a->vma.vm_pgoff < vma_pages((struct vm_area_struct *)&a->vma);
}

/* areas.c */
unsigned int lkl_own_member(void);
bool area_is_local(const struct lkl_area *a);
struct lkl_area *area_from(unsigned int member, unsigned long addr);	/* the first that ends above addr */
struct lkl_area *area_at(unsigned int member, unsigned long addr);
struct lkl_area *area_next(struct lkl_area *a);
void area_insert(struct lkl_area *a);
void area_remove(struct lkl_area *a);
struct lkl_area *area_split(struct lkl_area *a, unsigned long addr);
struct lkl_area *area_like(const struct lkl_area *a);
void areas_merge(unsigned int member, unsigned long start, unsigned long end);
void area_free(struct lkl_area *a);
/* what the host has mapped of a shared area, or of a part, it maps no more; -errno: its process does not answer */
long area_hide(struct lkl_area *a);
long area_hide_around(struct lkl_area *a, pgoff_t index);
/* what is held of these pages is given back */
void area_forget(struct lkl_area *a, pgoff_t first, pgoff_t last);
void area_drop(struct lkl_area *a, unsigned long start, unsigned long end);
void areas_of_mapping(struct address_space *mapping, bool (*f)(struct lkl_area *a, void *arg), void *arg);
struct lkl_area *area_largest(void);
struct lkl_area *area_lagging(void);
/* area_hooks.c: its process does not answer, and is asked again later */
void area_lag(struct lkl_area *a);
struct lkl_area *area_most_runs(unsigned int member, unsigned long *all);

/* the host, in the process whose thread drives */
long host_memory(long nr, unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e,
		 unsigned long f);
long host_none(unsigned long addr, unsigned long len, unsigned long flags);
#define HOST_MAP_32BIT	0x40
#define HOST_mmap	9
#define HOST_mprotect	10
#define HOST_munmap	11
#define HOST_mremap	25
#define HOST_msync	26
#define HOST_mincore	27
#define HOST_madvise	28
#define HOST_mlock	149
#endif
