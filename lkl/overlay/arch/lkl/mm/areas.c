// SPDX-License-Identifier: GPL-2.0
/* Areas (areas.h): which there are, and what is held for them. */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/mman.h>
#include <linux/slab.h>
#include "../kernel/cpu.h"
#include "areas.h"

#define HIDE_AROUND	256		/* pages */

DEFINE_MUTEX(lkl_areas_lock);
unsigned long lkl_nr_areas, lkl_area_pages;

static struct rb_root areas = RB_ROOT;
static DEFINE_HASHTABLE(by_mapping, 6);

unsigned int lkl_own_member(void)
{
	return ((struct lkl_thread *)current->thread.owner)->slot.home;
}

bool area_is_local(const struct lkl_area *a)
{
	return a->member == lkl_driver_home();
}

long host_memory(long nr, unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e,
		 unsigned long f)
{
	unsigned long args[6] = { a, b, c, d, e, f };

	return lkl_ops->memory_call(nr, args);
}

/* address space without access */
long host_none(unsigned long addr, unsigned long len, unsigned long flags)
{
	return host_memory(HOST_mmap, addr, len, PROT_NONE, flags | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

struct lkl_area *area_from(unsigned int member, unsigned long addr)
{
	struct rb_node *n = areas.rb_node;
	struct lkl_area *found = NULL, *a;

	while (n) {
		a = rb_entry(n, struct lkl_area, node);
		if (a->member > member || (a->member == member && a->vma.vm_end > addr)) {
			found = a;
			n = n->rb_left;
		} else {
			n = n->rb_right;
		}
	}
	return found && found->member == member ? found : NULL;
}

struct lkl_area *area_at(unsigned int member, unsigned long addr)
{
	struct lkl_area *a = area_from(member, addr);

	return a && a->vma.vm_start <= addr ? a : NULL;
}

struct lkl_area *area_next(struct lkl_area *a)
{
	struct rb_node *n = rb_next(&a->node);
	struct lkl_area *next = n ? rb_entry(n, struct lkl_area, node) : NULL;

	return next && next->member == a->member ? next : NULL;
}

void area_insert(struct lkl_area *a)
{
	struct rb_node **to = &areas.rb_node, *parent = NULL;
	struct lkl_area *other;

	while (*to) {
		parent = *to;
		other = rb_entry(parent, struct lkl_area, node);
		if (a->member < other->member || (a->member == other->member && a->vma.vm_start < other->vma.vm_start))
			to = &parent->rb_left;
		else
			to = &parent->rb_right;
	}
	rb_link_node(&a->node, parent, to);
	rb_insert_color(&a->node, &areas);
	if (a->shared)
		hash_add(by_mapping, &a->of_mapping, (unsigned long)a->vma.vm_file->f_mapping);
	lkl_nr_areas++;
}

void area_remove(struct lkl_area *a)
{
	rb_erase(&a->node, &areas);
	if (a->shared)
		hash_del(&a->of_mapping);
	lkl_nr_areas--;
}

/* f: true ends the walk */
void areas_of_mapping(struct address_space *mapping, bool (*f)(struct lkl_area *a, void *arg), void *arg)
{
	struct hlist_node *next;
	struct lkl_area *a;

	hash_for_each_possible_safe(by_mapping, a, next, of_mapping, (unsigned long)mapping)
		if (a->vma.vm_file->f_mapping == mapping && f(a, arg))
			return;
}

/* the one with the most pages */
struct lkl_area *area_largest(void)
{
	struct lkl_area *a, *found = NULL;
	struct rb_node *n;

	for (n = rb_first(&areas); n; n = rb_next(n)) {
		a = rb_entry(n, struct lkl_area, node);
		if (a->shared && a->nr_pages && !a->lags && (!found || a->nr_pages > found->nr_pages))
			found = a;
	}
	return found;
}

/* one whose process is to give up write access, and has not yet */
struct lkl_area *area_lagging(void)
{
	struct rb_node *n;

	for (n = rb_first(&areas); n; n = rb_next(n))
		if (rb_entry(n, struct lkl_area, node)->lags)
			return rb_entry(n, struct lkl_area, node);
	return NULL;
}

/* the member's shared area with the most host mappings, and how many all of them have */
struct lkl_area *area_most_runs(unsigned int member, unsigned long *all)
{
	struct lkl_area *a, *found = NULL;

	*all = 0;
	for (a = area_from(member, 0); a; a = area_next(a)) {
		*all += a->runs;
		if (a->shared && a->runs && (!found || a->runs > found->runs))
			found = a;
	}
	return found;
}

void area_forget(struct lkl_area *a, pgoff_t first, pgoff_t last)
{
	unsigned long index;
	void *entry;

	xa_for_each_range(&a->pages, index, entry, first, last) {
		xa_erase(&a->pages, index);
		a->nr_pages--;
		if (!a->shared)
			continue;
		lkl_area_pages--;
		put_page(entry);
	}
}

/* pages of a shared area are mapped no more.  -errno: its process does not answer, and nothing has changed */
static long hide(struct lkl_area *a, pgoff_t first, pgoff_t last)
{
	unsigned long start, len, index = first;
	long err;

	if (!xa_find(&a->pages, &index, last, AREA_PRESENT))
		return 0;
	start = area_address(a, first);
	len = (last - first + 1) << PAGE_SHIFT;
	if (area_is_local(a))
		err = host_none(start, len, MAP_FIXED);
	else
		err = lkl_ops->hide_away(a->member, start, len);
	if (IS_ERR_VALUE(err))
		return err;
	for (; xa_find(&a->pages, &index, last, AREA_PRESENT); index++) {
		xa_clear_mark(&a->pages, index, AREA_PRESENT);
		xa_clear_mark(&a->pages, index, AREA_WRITABLE);
	}
	return 0;
}

long area_hide(struct lkl_area *a)
{
	long err = hide(a, a->vma.vm_pgoff, a->vma.vm_pgoff + vma_pages(&a->vma) - 1);

	if (err)
		return err;
	a->runs = 0;
	a->lags = false;
	return 0;
}

/*
 * The pages around one that another process has mapped: to ask that process costs more than to fault the others in again,
 * and they are as a rule the next to be asked for.
 */
long area_hide_around(struct lkl_area *a, pgoff_t index)
{
	pgoff_t first = index & ~(pgoff_t)(HIDE_AROUND - 1);
	pgoff_t last = min(first + HIDE_AROUND, a->vma.vm_pgoff + vma_pages(&a->vma)) - 1;

	return hide(a, max(first, a->vma.vm_pgoff), last);
}

/* what lies between these addresses is read again when it is touched; at home */
void area_drop(struct lkl_area *a, unsigned long start, unsigned long end)
{
	if (!a->nr_pages)
		return;
	host_none(start, end - start, MAP_FIXED);
	area_forget(a, area_index(a, start), area_index(a, end - 1));
	a->runs++;
}

void area_free(struct lkl_area *a)
{
	area_forget(a, 0, ULONG_MAX);
	xa_destroy(&a->pages);
	fput(a->vma.vm_file);
	kfree(a);
}

static void move_page(struct lkl_area *from, struct lkl_area *to, pgoff_t index, void *entry)
{
	bool present = xa_get_mark(&from->pages, index, AREA_PRESENT);
	bool writable = xa_get_mark(&from->pages, index, AREA_WRITABLE);

	xa_store(&to->pages, index, entry, GFP_KERNEL | __GFP_NOFAIL);
	xa_erase(&from->pages, index);
	from->nr_pages--;
	to->nr_pages++;
	if (present)
		xa_set_mark(&to->pages, index, AREA_PRESENT);
	if (writable)
		xa_set_mark(&to->pages, index, AREA_WRITABLE);
}

/* a place for each page from first on: from then on nothing sleeps, and no page is in both or in none */
static bool reserve_pages(struct lkl_area *from, struct lkl_area *to, pgoff_t first)
{
	unsigned long index;
	void *entry;

	xa_for_each_start(&from->pages, index, entry, first)
		if (xa_reserve(&to->pages, index, GFP_KERNEL))
			return false;
	return true;
}

static void move_pages(struct lkl_area *from, struct lkl_area *to, pgoff_t first)
{
	unsigned long index;
	void *entry;

	xa_for_each_start(&from->pages, index, entry, first)
		move_page(from, to, index, entry);
}

/* a new area like a, without pages; NULL: no memory */
struct lkl_area *area_like(const struct lkl_area *a)
{
	struct lkl_area *b = kmalloc(sizeof(*b), GFP_KERNEL);

	if (!b)
		return NULL;
	*b = *a;
	INIT_HLIST_NODE(&b->of_mapping);
	xa_init(&b->pages);
	b->nr_pages = b->runs = 0;
	b->lags = false;
	get_file(b->vma.vm_file);
	return b;
}

/* the part of a from addr on becomes an area of its own, which is returned.  NULL: no memory */
struct lkl_area *area_split(struct lkl_area *a, unsigned long addr)
{
	pgoff_t first = area_index(a, addr);
	struct lkl_area *b = area_like(a);

	if (!b)
		return NULL;
	b->lags = a->lags;
	if (!reserve_pages(a, b, first)) {
		area_free(b);
		return NULL;
	}
	b->vma.vm_start = addr;
	b->vma.vm_pgoff = first;
	a->vma.vm_end = addr;
	area_insert(b);
	move_pages(a, b, first);
	return b;
}

static bool can_merge(const struct lkl_area *a, const struct lkl_area *b)
{
	return a->vma.vm_end == b->vma.vm_start && a->vma.vm_file == b->vma.vm_file && a->shared == b->shared &&
		a->prot == b->prot && a->vma.vm_flags == b->vma.vm_flags &&
		area_index(a, b->vma.vm_start) == b->vma.vm_pgoff;
}

/* neighbours between the addresses that differ in nothing become one, as far as there is memory for that */
void areas_merge(unsigned int member, unsigned long start, unsigned long end)
{
	struct lkl_area *a = area_from(member, start ? start - 1 : 0), *b;

	while (a && a->vma.vm_start <= end && (b = area_next(a))) {
		if (!can_merge(a, b) || !reserve_pages(b, a, 0)) {
			a = b;
			continue;
		}
		a->vma.vm_end = b->vma.vm_end;
		a->lags |= b->lags;
		a->runs += b->runs;
		move_pages(b, a, 0);
		area_remove(b);
		area_free(b);
	}
}
