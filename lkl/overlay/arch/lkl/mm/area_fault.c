// SPDX-License-Identifier: GPL-2.0
/*
 * A program has touched a page of an area that is not there, or that it may not write yet.  What mm/memory.c and
 * filemap_fault() are to a Linux with an MMU.
 */
#include <linux/backing-dev.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/writeback.h>
#include "../kernel/lkl.h"
#include "areas.h"

#define AROUND_MIN	16U		/* pages: 64 KiB */
#define AROUND_MAX	512U
#define RUNS_AROUND	3U
#define NO_MEMORY_TRIES	4
#define MISSES_MAX	100U		/* more misses than hits: to read ahead only hurts (MMAP_LOTSAMISS) */
#define FILLS_MAX	2048UL		/* host mappings that a private area may come to */
#define RUNS_MAX	16384UL		/* of all shared areas of a process; a host allows 65530 mappings */

/* what a fault is about; the area may change while it waits */
struct fault {
	unsigned int	member;
	unsigned long	addr;
	bool		write;
	struct file	*file;
	pgoff_t		index;
	struct vm_area_struct vma;
};

static pgoff_t size_in_pages(struct file *file)
{
	return DIV_ROUND_UP(i_size_read(file->f_mapping->host), PAGE_SIZE);
}

/* the area with the most pages gives them back */
static bool give_back(void)
{
	struct lkl_area *a = area_largest();

	if (!a)
		return false;
	if (area_hide(a))
		area_lag(a);		/* another one, next time */
	else
		area_forget(a, 0, ULONG_MAX);
	return true;
}

/* a range of pages is given back when those that are held are too many; Linux would reclaim the least used */
static void make_room(unsigned int member)
{
	unsigned long limit = totalram_pages() / 2, runs;
	struct lkl_area *a;

	while (lkl_area_pages > limit && give_back())
		;
	while ((a = area_most_runs(member, &runs)) && runs > RUNS_MAX)
		if (area_hide(a))
			break;
}

static void read_around(struct file *file, pgoff_t index, pgoff_t end)
{
	struct file_ra_state *ra = &file->f_ra;
	unsigned long pages = ra->ra_pages, start;
	DEFINE_READAHEAD(ractl, file, ra, file->f_mapping, index);

	if (ra->mmap_miss < MISSES_MAX * 10)
		ra->mmap_miss++;
	if (!pages || !file->f_mapping->a_ops->readahead || ra->mmap_miss > MISSES_MAX)
		return;
	start = index - min(index, pages / 4);
	ractl._index = start;
	page_cache_ra_unbounded(&ractl, min(pages, end - start), pages / 4);
}

/* the page, locked, uptodate, with a reference; else the errno */
static struct page *get_page_locked(struct fault *f)
{
	struct address_space *mapping = f->file->f_mapping;
	bool is_random = f->vma.vm_flags & VM_RAND_READ;
	struct folio *folio;

	if (f->index >= size_in_pages(f->file))
		return ERR_PTR(-EIO);
	folio = filemap_get_folio(mapping, f->index);
	if (folio && f->file->f_ra.mmap_miss)
		f->file->f_ra.mmap_miss--;
	if (folio && folio_test_readahead(folio) && !is_random)
		page_cache_async_readahead(mapping, &f->file->f_ra, f->file, folio, f->index, f->file->f_ra.ra_pages);
	if (!folio && !is_random)
		read_around(f->file, f->index, size_in_pages(f->file));
	for (;;) {
		if (folio)
			folio_put(folio);
		if (f->index >= size_in_pages(f->file))
			return ERR_PTR(-EIO);
		folio = filemap_get_folio(mapping, f->index);
		if (!folio || !folio_test_uptodate(folio)) {
			if (folio)
				folio_put(folio);
			filemap_invalidate_lock_shared(mapping);
			folio = read_mapping_folio(mapping, f->index, f->file);
			filemap_invalidate_unlock_shared(mapping);
			if (IS_ERR(folio))
				return ERR_CAST(folio);
		}
		folio_lock(folio);
		if (folio->mapping == mapping && folio_test_uptodate(folio))
			break;
		folio_unlock(folio);
	}
	if (f->index < size_in_pages(f->file))
		return folio_file_page(folio, f->index);
	folio_unlock(folio);
	folio_put(folio);
	return ERR_PTR(-EIO);
}

/*
 * The file system makes ready for a page that will be written: it reserves blocks, waits for what must not change.  The page
 * is locked, before and after; -EAGAIN: it is another file's meanwhile, and not locked.
 */
static long make_writable(struct fault *f, struct page *page)
{
	struct vm_fault vmf = {
		.vma = &f->vma,
		.gfp_mask = GFP_KERNEL,
		.pgoff = f->index,
		.address = f->addr & PAGE_MASK,
		.real_address = f->addr,
		.flags = FAULT_FLAG_WRITE | FAULT_FLAG_MKWRITE,
		.page = page,
	};
	vm_fault_t ret;

	if (!f->vma.vm_ops || !f->vma.vm_ops->page_mkwrite)
		return 0;
	unlock_page(page);
	ret = f->vma.vm_ops->page_mkwrite(&vmf);
	if (ret & VM_FAULT_OOM)
		return -ENOMEM;
	if (ret & VM_FAULT_ERROR)
		return -EIO;
	if (ret & VM_FAULT_NOPAGE)
		return -EAGAIN;
	if (!(ret & VM_FAULT_LOCKED))
		lock_page(page);
	if (page->mapping == f->file->f_mapping)
		return 0;
	unlock_page(page);
	return -EAGAIN;
}

/* the area has the page from here on; does not sleep */
static bool take(struct lkl_area *a, pgoff_t index, struct page *page)
{
	struct page *old = xa_load(&a->pages, index);

	if (old != page) {
		if (xa_err(xa_store(&a->pages, index, page, GFP_ATOMIC | __GFP_NOWARN)))
			return false;
		get_page(page);
		if (old) {
			/* truncated while its process did not answer */
			put_page(old);
		} else {
			a->nr_pages++;
			lkl_area_pages++;
		}
	}
	xa_set_mark(&a->pages, index, AREA_PRESENT);
	return true;
}

static long map_run(struct lkl_area *a, pgoff_t first, unsigned long n, struct page *page, unsigned int prot)
{
	long err = host_memory(HOST_mmap, area_address(a, first), n << PAGE_SHIFT, prot, MAP_SHARED | MAP_FIXED,
			       LKL_MEMORY_FILE, (unsigned long)page_address(page));

	a->runs++;
	if (!IS_ERR_VALUE(err))
		return 0;
	area_drop(a, area_address(a, first), area_address(a, first + n));
	return err;
}

/* the page can be mapped at once: it is cached, nobody is at work with it, and it is not there yet */
static struct page *ready_page(struct lkl_area *a, pgoff_t index)
{
	struct folio *folio;
	struct page *page;
	bool ready;

	if (xa_get_mark(&a->pages, index, AREA_PRESENT))
		return NULL;
	folio = filemap_get_folio(a->vma.vm_file->f_mapping, index);
	if (!folio)
		return NULL;
	ready = folio_test_uptodate(folio) && !folio_test_locked(folio) && !folio_test_readahead(folio);
	page = folio_file_page(folio, index);
	folio_put(folio);
	return ready ? page : NULL;
}

/* how far around a fault at index pages are looked for */
static void window(struct lkl_area *a, pgoff_t index, pgoff_t *first, pgoff_t *end)
{
	pgoff_t last = a->vma.vm_pgoff + vma_pages(&a->vma);

	if (index == a->next && a->around < AROUND_MAX)
		a->around = max(a->around, AROUND_MIN) * 2;
	else if (index != a->next)
		a->around = AROUND_MIN;
	*first = max(index & ~(pgoff_t)(AROUND_MIN - 1), a->vma.vm_pgoff);
	*end = min3(*first + a->around, last, size_in_pages(a->vma.vm_file));
	a->next = *end;
}

/* pages from first on, which lie side by side, and are taken and mapped */
static long map_ready(struct lkl_area *a, pgoff_t first, unsigned long n, struct page *page)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		if (!take(a, first + i, page + i))
			n = i;
	return n ? map_run(a, first, n, page, a->prot & ~PROT_WRITE) : -ENOMEM;
}

/*
 * The page that was touched, and what is ready around it, in runs of pages that lie side by side in the kernel's memory.  Each
 * run is a call of the host: a few of them are made for pages that nobody has asked for
 */
static long map_around(struct lkl_area *a, pgoff_t index, struct page *touched)
{
	pgoff_t at, end, run = 0;
	struct page *start = NULL, *page;
	unsigned int runs = 0;
	long err = 0, one;
	bool asked;

	window(a, index, &at, &end);
	for (; at <= end; at++) {
		page = at == end ? NULL : at == index ? touched : ready_page(a, at);
		if (start && page == start + (at - run))
			continue;
		asked = index >= run && index < at;
		if (start && (asked || runs++ < RUNS_AROUND)) {
			one = map_ready(a, run, at - run, start);
			if (asked)
				err = one;
		}
		start = page;
		run = at;
	}
	return err || xa_get_mark(&a->pages, index, AREA_PRESENT) ? err : -ENOMEM;
}

static long map_written(struct lkl_area *a, pgoff_t index, struct page *page)
{
	long err;

	if (!take(a, index, page))
		return -ENOMEM;
	err = map_run(a, index, 1, page, a->prot);
	if (!err)
		xa_set_mark(&a->pages, index, AREA_WRITABLE);
	return err;
}

/* the area that the fault was about, if it is the same */
static struct lkl_area *same_area(const struct fault *f)
{
	struct lkl_area *a = area_at(f->member, f->addr);

	if (!a || !a->shared || a->vma.vm_file != f->file || area_index(a, f->addr) != f->index)
		return NULL;
	return !f->write || (a->prot & PROT_WRITE) ? a : NULL;
}

static long fault_shared(struct fault *f)
{
	struct page *page = get_page_locked(f);
	bool has_mkwrite = f->vma.vm_ops && f->vma.vm_ops->page_mkwrite;
	struct lkl_area *a;
	long err;

	if (IS_ERR(page))
		return PTR_ERR(page) == -ENOMEM ? -ENOMEM : -EIO;
	err = f->write ? make_writable(f, page) : 0;
	if (err) {
		put_page(page);
		return err;
	}
	mutex_lock(&lkl_areas_lock);
	a = same_area(f);
	if (!a)
		err = -EAGAIN;
	else if (f->write || xa_get_mark(&a->pages, f->index, AREA_WRITABLE))
		err = map_written(a, f->index, page);
	else
		err = map_around(a, f->index, page);
	mutex_unlock(&lkl_areas_lock);
	if (f->write && !err)
		set_page_dirty(page);
	unlock_page(page);
	put_page(page);
	if (f->write && !err) {
		if (!has_mkwrite)
			file_update_time(f->file);
		balance_dirty_pages_ratelimited(f->file->f_mapping);
	}
	return err;
}

/* the pages around index that a private area has not got yet */
static void missing(struct lkl_area *a, pgoff_t index, pgoff_t *first, pgoff_t *end)
{
	unsigned long n = max_t(unsigned long, AROUND_MIN, roundup_pow_of_two(vma_pages(&a->vma) / FILLS_MAX + 1));
	pgoff_t lowest = max(index & ~(n - 1), a->vma.vm_pgoff);
	pgoff_t highest = min3((index & ~(n - 1)) + n, a->vma.vm_pgoff + vma_pages(&a->vma),
			       size_in_pages(a->vma.vm_file));

	for (*first = index; *first > lowest && !xa_load(&a->pages, *first - 1);)
		--*first;
	for (*end = index + 1; *end < highest && !xa_load(&a->pages, *end);)
		++*end;
}

static long read_into(struct file *file, unsigned long to, unsigned long len, loff_t pos)
{
	long n;

	for (; len; to += n, len -= n) {
		n = kernel_read(file, (void *)to, len, &pos);
		if (n <= 0)
			return n;
	}
	return 0;
}

/* memory at from, filled, takes the place of what is not there yet */
static long place(struct lkl_area *a, pgoff_t first, pgoff_t end, unsigned long from)
{
	unsigned long len = (end - first) << PAGE_SHIFT;
	pgoff_t at;
	long err = 0;

	for (at = first; at < end && !err; at++)
		err = xa_err(xa_store(&a->pages, at, xa_mk_value(1), GFP_KERNEL));
	a->nr_pages += at - first;
	if (!err)
		err = host_memory(HOST_mprotect, from, len, a->prot, 0, 0, 0);
	if (!err)
		err = host_memory(HOST_mremap, from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, area_address(a, first), 0);
	if (IS_ERR_VALUE(err)) {
		for (at = first; at < end; at++)
			if (xa_erase(&a->pages, at))
				a->nr_pages--;
		return err;
	}
	a->runs++;
	return 0;
}

/* the area, if the pages from first on are still missing there */
static struct lkl_area *still_missing(struct fault *f, pgoff_t first, pgoff_t end)
{
	struct lkl_area *a = area_at(f->member, f->addr);
	unsigned long at = first;

	if (!a || a->shared || a->vma.vm_file != f->file || area_index(a, f->addr) != f->index)
		return NULL;
	if (!area_has(a, first) || !area_has(a, end - 1) || xa_find(&a->pages, &at, end - 1, XA_PRESENT))
		return NULL;
	return a;
}

static long fault_private(struct fault *f, struct lkl_area *a)
{
	pgoff_t first, end;
	unsigned long len, from;
	long err;

	if (xa_load(&a->pages, f->index))
		return host_memory(HOST_mprotect, f->addr & PAGE_MASK, PAGE_SIZE, a->prot, 0, 0, 0);
	if (f->index >= size_in_pages(f->file))
		return -EIO;
	missing(a, f->index, &first, &end);
	len = (end - first) << PAGE_SHIFT;
	from = host_memory(HOST_mmap, 0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (IS_ERR_VALUE(from))
		return -ENOMEM;
	err = read_into(f->file, from, len, (loff_t)first << PAGE_SHIFT);
	if (!err) {
		mutex_lock(&lkl_areas_lock);
		a = still_missing(f, first, end);
		err = a ? place(a, first, end, from) : -EAGAIN;
		mutex_unlock(&lkl_areas_lock);
	}
	if (err)
		host_memory(HOST_munmap, from, len, 0, 0, 0, 0);
	return err == 0 || err == -EAGAIN || err == -ENOMEM ? err : -EIO;
}

static bool may(const struct lkl_area *a, unsigned long access)
{
	switch (access) {
	case LKL_ACCESS_WRITE:
		return a->prot & PROT_WRITE;
	case LKL_ACCESS_EXEC:
		return a->prot & PROT_EXEC;
	}
	return a->prot;
}

static bool is_there(struct lkl_area *a, pgoff_t index, bool write)
{
	if (!a->shared)
		return xa_load(&a->pages, index);
	return xa_get_mark(&a->pages, index, write ? AREA_WRITABLE : AREA_PRESENT);
}

/* 0: the page is there; -EFAULT: the program may not do that; -EIO: it is a SIGBUS; -EAGAIN: look again */
static long fault_once(unsigned int member, unsigned long addr, unsigned long access, bool touched)
{
	struct fault f = { .member = member, .addr = addr, .write = access == LKL_ACCESS_WRITE };
	struct lkl_area *a = area_at(member, addr);
	long err;

	if (!a || !may(a, access))
		return -EFAULT;
	f.index = area_index(a, addr);
	/* where a program has faulted the page is mapped again, whatever we think that is there */
	if (!touched && is_there(a, f.index, f.write))
		return 0;
	if (a->shared && lkl_shared.nr_members > 1 && !lkl_shared.members[member % LKL_MEMBERS].has_helper)
		return AREA_NO_HELPER;
	f.vma = a->vma;
	f.file = get_file(a->vma.vm_file);
	err = a->shared ? fault_shared(&f) : fault_private(&f, a);
	fput(f.file);
	return err;
}

static long fault(unsigned int member, unsigned long addr, unsigned long access, bool touched)
{
	int tries = 0;
	long err;

	do {
		err = fault_once(member, addr, access, touched);
		if (err == -ENOMEM && tries++ < NO_MEMORY_TRIES && give_back())
			err = -EAGAIN;
	} while (err == -EAGAIN);
	return err;
}

/*
 * private call: (address, length, access): the pages of areas there are put in place.  A length of 0 is a fault at the
 * address.  How many were not there; AREA_NOT_OURS: no area is there
 */
long lkl_area_fault(unsigned long addr, unsigned long len, unsigned long access)
{
	unsigned int member = lkl_own_member();
	unsigned long at = addr & PAGE_MASK, end = addr + len;
	struct lkl_area *a;
	long err = AREA_NOT_OURS, put = 0;

	make_room(member);
	if (!len)
		return area_at(member, addr) ? fault(member, addr, access, true) : AREA_NOT_OURS;
	while (at < end && (a = area_from(member, at)) && a->vma.vm_start < end) {
		at = max(at, a->vma.vm_start);
		if (!may(a, access) || !is_there(a, area_index(a, at), access == LKL_ACCESS_WRITE)) {
			err = fault(member, at, access, false);
			if (err)
				return err;
			put++;
		}
		err = 0;
		at += PAGE_SIZE;
	}
	return err ? err : put;
}
