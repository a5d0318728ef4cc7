// SPDX-License-Identifier: GPL-2.0
/*
 * What the page cache does to pages that programs have mapped.  Linux's mm/rmap.c is not there without an MMU: its calls, and
 * those that take a page out of the page cache, come here (include/linux/rmap.h, --wrap in the Makefile).
 */
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/pagevec.h>
#include <linux/rmap.h>
#include <linux/workqueue.h>
#include "../kernel/lkl.h"
#include "areas.h"

struct visit {
	struct page	*page;
	pgoff_t		index;
	int		cleaned;
};

/*
 * A process that does not give up write access in time (it is stopped) may write to the page at any moment: the page is
 * dirty as long as that lasts.
 */
static void mark_again(struct work_struct *work);
static DECLARE_DELAYED_WORK(again, mark_again);

void area_lag(struct lkl_area *a)
{
	a->lags = true;
	schedule_delayed_work(&again, HZ);
}

static bool protect_page(struct lkl_area *a, void *arg)
{
	struct visit *v = arg;

	if (!area_has(a, v->index) || xa_load(&a->pages, v->index) != v->page ||
	    !xa_get_mark(&a->pages, v->index, AREA_WRITABLE))
		return false;
	v->cleaned++;
	if (area_is_local(a) && !host_memory(HOST_mprotect, area_address(a, v->index), PAGE_SIZE,
					     a->prot & ~PROT_WRITE, 0, 0, 0)) {
		xa_clear_mark(&a->pages, v->index, AREA_WRITABLE);
		a->runs++;
	} else if (area_hide_around(a, v->index)) {
		area_lag(a);
	}
	return false;
}

/* before write-back: whoever writes to the folio from here on faults, and makes it dirty again */
int lkl_folio_mkclean(struct folio *folio)
{
	struct address_space *mapping = folio->mapping;
	struct visit v = { .cleaned = 0 };
	long i;

	for (i = 0; lkl_nr_areas && mapping && i < folio_nr_pages(folio); i++) {
		v.page = folio_page(folio, i);
		v.index = folio->index + i;
		areas_of_mapping(mapping, protect_page, &v);
	}
	return v.cleaned;
}

static bool take_away(struct lkl_area *a, void *arg)
{
	struct visit *v = arg;

	if (!area_has(a, v->index) || xa_load(&a->pages, v->index) != v->page)
		return false;
	if (area_is_local(a)) {
		unsigned long addr = area_address(a, v->index);

		area_drop(a, addr, addr + PAGE_SIZE);
	} else if (!area_hide_around(a, v->index)) {
		area_forget(a, v->index, v->index);
	} else {
		/* it stays what it is, memory of nobody's but that process's, until the process answers */
		pr_warn_once("lkl: a stopped process goes on to see a part of a file that is no more\n");
		area_lag(a);
	}
	return false;
}

/* the folio is locked, and leaves the page cache */
static void leaves(struct address_space *mapping, struct folio *folio)
{
	struct visit v;
	long i;

	for (i = 0; lkl_nr_areas && i < folio_nr_pages(folio); i++) {
		v.page = folio_page(folio, i);
		v.index = folio->index + i;
		areas_of_mapping(mapping, take_away, &v);
	}
}

void __real___filemap_remove_folio(struct folio *folio, void *shadow);
void __wrap___filemap_remove_folio(struct folio *folio, void *shadow);
void __wrap___filemap_remove_folio(struct folio *folio, void *shadow)
{
	leaves(folio->mapping, folio);
	__real___filemap_remove_folio(folio, shadow);
}

void __real_filemap_remove_folio(struct folio *folio);
void __wrap_filemap_remove_folio(struct folio *folio);
void __wrap_filemap_remove_folio(struct folio *folio)
{
	leaves(folio->mapping, folio);
	__real_filemap_remove_folio(folio);
}

void __real_delete_from_page_cache_batch(struct address_space *mapping, struct folio_batch *fbatch);
void __wrap_delete_from_page_cache_batch(struct address_space *mapping, struct folio_batch *fbatch);
void __wrap_delete_from_page_cache_batch(struct address_space *mapping, struct folio_batch *fbatch)
{
	unsigned int i;

	for (i = 0; i < folio_batch_count(fbatch); i++)
		leaves(mapping, fbatch->folios[i]);
	__real_delete_from_page_cache_batch(mapping, fbatch);
}

static void mark_again(struct work_struct *work)
{
	unsigned long index = 0;
	struct lkl_area *a;
	struct page *page;

	while ((a = area_lagging()) && !area_hide(a))
		;
	/* the area may be gone, or another one, after each page */
	for (; a && (page = xa_find(&a->pages, &index, ULONG_MAX, AREA_WRITABLE)); a = area_lagging(), index++) {
		get_page(page);
		set_page_dirty_lock(page);
		put_page(page);
	}
	if (a)
		schedule_delayed_work(&again, HZ);
}

/* file systems that leave mappings to the page cache: without an MMU Linux has none for them */
static vm_fault_t page_mkwrite(struct vm_fault *vmf)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);
	struct folio *folio = page_folio(vmf->page);
	vm_fault_t ret = VM_FAULT_LOCKED;

	sb_start_pagefault(inode->i_sb);
	file_update_time(vmf->vma->vm_file);
	folio_lock(folio);
	if (folio->mapping != inode->i_mapping) {
		folio_unlock(folio);
		ret = VM_FAULT_NOPAGE;
	} else {
		folio_mark_dirty(folio);
		folio_wait_stable(folio);
	}
	sb_end_pagefault(inode->i_sb);
	return ret;
}

static const struct vm_operations_struct file_vm_ops = { .page_mkwrite = page_mkwrite };

int __wrap_generic_file_mmap(struct file *file, struct vm_area_struct *vma);
int __wrap_generic_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!file->f_mapping->a_ops->read_folio)
		return -ENOEXEC;
	file_accessed(file);
	vma->vm_ops = &file_vm_ops;
	return 0;
}

int __wrap_generic_file_readonly_mmap(struct file *file, struct vm_area_struct *vma);
int __wrap_generic_file_readonly_mmap(struct file *file, struct vm_area_struct *vma)
{
	if ((vma->vm_flags & VM_SHARED) && (vma->vm_flags & VM_MAYWRITE))
		return -EINVAL;
	return __wrap_generic_file_mmap(file, vma);
}
