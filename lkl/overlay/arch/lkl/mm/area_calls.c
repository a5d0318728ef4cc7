// SPDX-License-Identifier: GPL-2.0
/* The calls of programs that make, change and end areas: mmap(2) and what belongs to it; fork, exec and the end of processes. */
#include <linux/fs.h>
#include <linux/fadvise.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "../kernel/lkl.h"
#include "areas.h"

/* ntfs3 of Linux 6.1 loses what is stored behind the valid part of a file, if the file was made longer since the mmap() */
static bool keeps_stores(struct file *file)
{
	return strcmp(file_inode(file)->i_sb->s_type->name, "ntfs3");
}

/* do_mmap() */
static long may_map(struct file *file, unsigned long prot, unsigned long flags)
{
	bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;

	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (flags & ~LEGACY_MAP_MASK))
		return -EOPNOTSUPP;
	if (shared && (prot & PROT_WRITE) && !(file->f_mode & FMODE_WRITE))
		return -EACCES;
	if (shared && IS_APPEND(file_inode(file)) && (file->f_mode & FMODE_WRITE))
		return -EACCES;
	if (!(file->f_mode & FMODE_READ))
		return -EACCES;
	if (shared && (prot & PROT_WRITE) && !keeps_stores(file))
		return -EOPNOTSUPP;
	if ((prot & PROT_EXEC) && path_noexec(&file->f_path))
		return -EPERM;
	return file->f_op->mmap ? 0 : -ENODEV;
}

static unsigned long vm_flags_of(struct file *file, unsigned long prot, bool shared)
{
	unsigned long flags = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;

	flags |= (prot & PROT_READ ? VM_READ : 0) | (prot & PROT_WRITE ? VM_WRITE : 0) | (prot & PROT_EXEC ? VM_EXEC : 0);
	if (path_noexec(&file->f_path))
		flags &= ~VM_MAYEXEC;
	if (!shared)
		return flags;
	flags |= VM_SHARED | VM_MAYSHARE;
	return (file->f_mode & FMODE_WRITE) && keeps_stores(file) ? flags : flags & ~(VM_MAYWRITE | VM_SHARED);
}

/* the parts of areas between the addresses become areas of their own.  -ENOMEM: nothing has changed but their number */
static long split_at(unsigned int member, unsigned long addr)
{
	struct lkl_area *a = area_at(member, addr);

	return !a || a->vma.vm_start == addr || area_split(a, addr) ? 0 : -ENOMEM;
}

static long split_edges(unsigned int member, unsigned long start, unsigned long end)
{
	long err = split_at(member, start);

	return err ? err : split_at(member, end);
}

/* areas between the addresses, whose edges are split, are no more; the host's side is the caller's */
static void remove_between(unsigned int member, unsigned long start, unsigned long end)
{
	struct lkl_area *a;

	while ((a = area_from(member, start)) && a->vma.vm_start < end) {
		area_remove(a);
		area_free(a);
	}
}

static struct lkl_area *new_area(struct file *file, unsigned long addr, unsigned long len, unsigned long prot,
				 bool shared, unsigned long offset)
{
	struct lkl_area *a = kzalloc(sizeof(*a), GFP_KERNEL);
	long err;

	if (!a)
		return ERR_PTR(-ENOMEM);
	xa_init(&a->pages);
	a->member = lkl_own_member();
	a->prot = prot;
	a->shared = shared;
	a->vma.vm_start = addr;
	a->vma.vm_end = addr + len;
	a->vma.vm_pgoff = offset >> PAGE_SHIFT;
	a->vma.vm_file = get_file(file);
	a->vma.vm_flags = vm_flags_of(file, prot, shared);
	/* of a private one nothing is asked but to read the file */
	err = shared ? call_mmap(file, &a->vma) : 0;
	if (!shared)
		file_accessed(file);
	if (!err)
		return a;
	fput(a->vma.vm_file);
	kfree(a);
	return ERR_PTR(err);
}

/* private call: mmap(2) of a file of the kernel, faulted in as it is touched */
long lkl_area_new(unsigned long addr, unsigned long len, unsigned long prot, unsigned long flags, unsigned long fd,
		  unsigned long offset)
{
	bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
	struct file *file = fget(fd);
	struct lkl_area *a;
	long err, at;

	if (!file)
		return -EBADF;
	len = PAGE_ALIGN(len);
	prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
	err = may_map(file, prot, flags);
	a = err ? ERR_PTR(err) : new_area(file, addr, len, prot, shared, offset);
	fput(file);
	if (IS_ERR(a))
		return PTR_ERR(a);
	mutex_lock(&lkl_areas_lock);
	at = flags & MAP_FIXED ? split_edges(a->member, addr, addr + len) : 0;
	if (!at)
		at = host_none(addr, len, flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | HOST_MAP_32BIT));
	if (IS_ERR_VALUE(at)) {
		area_free(a);
	} else {
		remove_between(a->member, at, at + len);
		a->vma.vm_start = at;
		a->vma.vm_end = at + len;
		area_insert(a);
		areas_merge(a->member, at, at + len);
	}
	mutex_unlock(&lkl_areas_lock);
	return at;
}

/* munmap(2), or only the areas there: something else takes their place */
static long unmap(unsigned int member, unsigned long start, unsigned long len, bool replace)
{
	long err = split_edges(member, start, start + len);

	if (!err)
		err = replace ? host_none(start, len, MAP_FIXED) : host_memory(HOST_munmap, start, len, 0, 0, 0, 0);
	if (IS_ERR_VALUE(err))
		return err;
	remove_between(member, start, start + len);
	return 0;
}

static long protect_there(struct lkl_area *a, unsigned long prot)
{
	unsigned long start = a->vma.vm_start, index;
	void *entry;
	long err = 0;

	a->prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
	a->vma.vm_flags = (a->vma.vm_flags & ~(VM_READ | VM_WRITE | VM_EXEC)) |
		(prot & PROT_READ ? VM_READ : 0) | (prot & PROT_WRITE ? VM_WRITE : 0) | (prot & PROT_EXEC ? VM_EXEC : 0);
	if (a->shared)
		return area_hide(a);
	xa_for_each(&a->pages, index, entry) {
		unsigned long first = index;

		while (xa_load(&a->pages, index + 1))
			index++;
		start = area_address(a, first);
		err = host_memory(HOST_mprotect, start, (index + 1 - first) << PAGE_SHIFT, a->prot, 0, 0, 0);
		if (err)
			break;
	}
	return err;
}

static long may_protect(struct lkl_area *a, unsigned long prot)
{
	unsigned long flags = a->vma.vm_flags;

	if (((prot & PROT_WRITE) && !(flags & VM_MAYWRITE)) || ((prot & PROT_EXEC) && !(flags & VM_MAYEXEC)))
		return -EACCES;
	return 0;
}

/*
 * Goes from start to end: areas by f, what lies between them by the host's call nr.  Ends at the first that fails, but for
 * ENOMEM of the host, which is left for the end where `all` says so: a part is not mapped.
 */
static long each_part(unsigned int member, unsigned long start, unsigned long end, long nr, unsigned long arg,
		      long (*f)(struct lkl_area *a, unsigned long from, unsigned long to, unsigned long arg))
{
	unsigned long to;
	struct lkl_area *a;
	long err = 0, late = 0;

	for (; start < end && !err; start = to) {
		a = area_from(member, start);
		if (a && a->vma.vm_start <= start) {
			to = min(end, a->vma.vm_end);
			err = f(a, start, to, arg);
			continue;
		}
		to = a ? min(end, a->vma.vm_start) : end;
		err = host_memory(nr, start, to - start, arg, 0, 0, 0);
		if (err == -ENOMEM && nr != HOST_mprotect) {
			late = err;
			err = 0;
		}
	}
	return err ? err : late;
}

static long protect_part(struct lkl_area *a, unsigned long from, unsigned long to, unsigned long prot)
{
	long err = may_protect(a, prot);

	if (!err)
		err = split_edges(a->member, from, to);
	return err ? err : protect_there(area_at(lkl_own_member(), from), prot);
}

static long advise_part(struct lkl_area *a, unsigned long from, unsigned long to, unsigned long advice)
{
	loff_t pos = (loff_t)area_index(a, from) << PAGE_SHIFT;

	switch (advice) {
	case MADV_NORMAL:
		a->vma.vm_flags &= ~(VM_RAND_READ | VM_SEQ_READ);
		return 0;
	case MADV_RANDOM:
		a->vma.vm_flags |= VM_RAND_READ;
		return 0;
	case MADV_SEQUENTIAL:
		a->vma.vm_flags &= ~VM_RAND_READ;
		return 0;
	case MADV_WILLNEED:
		vfs_fadvise(a->vma.vm_file, pos, to - from, POSIX_FADV_WILLNEED);
		return 0;
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
		area_drop(a, from, to);
		return 0;
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_DOFORK:
	case MADV_KEEPONFORK:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
		return 0;
	}
	return -EINVAL;
}

static long core_part(struct lkl_area *a, unsigned long from, unsigned long to, unsigned long vec)
{
	unsigned char __user *at = (unsigned char __user *)vec;
	struct folio *folio;
	bool there;

	for (; from < to; from += PAGE_SIZE, at++) {
		folio = filemap_get_folio(a->vma.vm_file->f_mapping, area_index(a, from));
		there = xa_load(&a->pages, area_index(a, from)) || (folio && folio_test_uptodate(folio));
		if (folio)
			folio_put(folio);
		if (put_user(there, at))
			return -EFAULT;
	}
	return 0;
}

/* mincore(2): where in the vector an answer goes depends on the address */
static long core(unsigned int member, unsigned long start, unsigned long end, unsigned long vec)
{
	unsigned long to;
	struct lkl_area *a;
	long err = 0;

	for (; start < end && !err; vec += (to - start) >> PAGE_SHIFT, start = to) {
		a = area_from(member, start);
		if (a && a->vma.vm_start <= start) {
			to = min(end, a->vma.vm_end);
			err = core_part(a, start, to, vec);
		} else {
			to = a ? min(end, a->vma.vm_start) : end;
			err = host_memory(HOST_mincore, start, to - start, vec, 0, 0, 0);
		}
	}
	return err;
}

/* msync(2): without the lock, as write-back waits for pages that a fault may have */
static long sync_areas(unsigned int member, unsigned long start, unsigned long end, unsigned long flags)
{
	unsigned long to;
	struct lkl_area *a;
	struct file *file;
	long err = 0, late = 0;
	loff_t pos;

	if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || ((flags & MS_ASYNC) && (flags & MS_SYNC)))
		return -EINVAL;
	for (; start < end && !err; start = to) {
		a = area_from(member, start);
		if (!a || a->vma.vm_start > start) {
			to = a ? min(end, a->vma.vm_start) : end;
			err = host_memory(HOST_msync, start, to - start, flags, 0, 0, 0);
			if (err == -ENOMEM) {
				late = err;
				err = 0;
			}
			continue;
		}
		to = min(end, a->vma.vm_end);
		if (!(flags & MS_SYNC) || !a->shared)
			continue;
		pos = (loff_t)area_index(a, start) << PAGE_SHIFT;
		file = get_file(a->vma.vm_file);
		err = vfs_fsync_range(file, pos, pos + (to - start) - 1, 1);
		fput(file);
	}
	return err ? err : late;
}

/* madvise(MADV_REMOVE): a hole in the file */
static long remove(unsigned int member, unsigned long start, unsigned long end)
{
	struct lkl_area *a = area_at(member, start);
	struct file *file;
	loff_t pos;
	long err;

	if (!a || a->vma.vm_end < end || !a->shared)
		return -EINVAL;
	if (!(a->vma.vm_flags & VM_MAYWRITE))
		return -EACCES;
	pos = (loff_t)area_index(a, start) << PAGE_SHIFT;
	file = get_file(a->vma.vm_file);
	err = vfs_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos, end - start);
	fput(file);
	return err;
}

struct move { unsigned long old, old_len, new_len, flags, to; };

/* memory that the host may have in several mappings, each of which it moves by itself */
static long move_memory(unsigned long from, unsigned long to, unsigned long len)
{
	unsigned long n;
	long err;

	for (; len; from += n, to += n, len -= n) {
		n = len;
		while ((err = host_memory(HOST_mremap, from, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, to, 0)) == -EFAULT) {
			if (n == PAGE_SIZE)
				return err;
			n = PAGE_ALIGN(n / 2);
		}
		if (IS_ERR_VALUE(err))
			return err;
	}
	return 0;
}

/* the area, all of it, goes elsewhere; the host's memory there is without access */
static long move_area(struct lkl_area *a, unsigned long to, unsigned long new_len)
{
	unsigned long start = a->vma.vm_start, len = a->vma.vm_end - start, index, first;
	void *entry;
	long err = a->shared ? area_hide(a) : 0;

	if (!a->shared) {
		xa_for_each(&a->pages, index, entry) {
			for (first = index; xa_load(&a->pages, index + 1);)
				index++;
			err = move_memory(area_address(a, first), to + (area_address(a, first) - start),
					  (index + 1 - first) << PAGE_SHIFT);
			if (err)
				return err;
		}
	}
	host_memory(HOST_munmap, start, len, 0, 0, 0, 0);
	area_remove(a);
	a->vma.vm_start = to;
	a->vma.vm_end = to + new_len;
	area_insert(a);
	return to;
}

/* a second area like a, for mremap(2) with an old length of 0 */
static long copy_area(struct lkl_area *a, unsigned long from, unsigned long to, unsigned long len)
{
	struct lkl_area *b = area_like(a);

	if (!b)
		return -ENOMEM;
	b->vma.vm_pgoff = area_index(a, from);
	b->vma.vm_start = to;
	b->vma.vm_end = to + len;
	area_insert(b);
	return to;
}

static long grow_in_place(struct lkl_area *a, const struct move *m)
{
	unsigned long end = m->old + m->old_len;
	long err = host_none(end, m->new_len - m->old_len, MAP_FIXED_NOREPLACE);

	if (IS_ERR_VALUE(err))
		return err;
	a->vma.vm_end += m->new_len - m->old_len;
	return m->old;
}

/* mremap(2) */
static long move(unsigned int member, struct move *m)
{
	struct lkl_area *a = area_at(member, m->old);
	bool fixed = m->flags & MREMAP_FIXED;
	long err, to;

	if (!a)
		return -EFAULT;
	if ((m->flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) || (fixed && !(m->flags & MREMAP_MAYMOVE)) || !m->new_len)
		return -EINVAL;
	if (offset_in_page(m->old) || (fixed && offset_in_page(m->to)))
		return -EINVAL;
	if (!m->old_len && (!a->shared || !(m->flags & MREMAP_MAYMOVE)))
		return -EINVAL;
	if (fixed && m->old < m->to + m->new_len && m->to < m->old + m->old_len)
		return -EINVAL;
	if (m->new_len < m->old_len) {
		err = unmap(member, m->old + m->new_len, m->old_len - m->new_len, false);
		if (err)
			return err;
		m->old_len = m->new_len;
	}
	if (!fixed && m->new_len == m->old_len)
		return m->old;
	a = area_at(member, m->old);
	if (!a || m->old_len > a->vma.vm_end - m->old)
		return -EFAULT;
	if (!fixed && m->old_len && a->vma.vm_end == m->old + m->old_len) {
		to = grow_in_place(a, m);
		if (!IS_ERR_VALUE(to))
			return to;
	}
	if (!(m->flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	err = m->old_len ? split_edges(member, m->old, m->old + m->old_len) : 0;
	if (!err && fixed)
		err = unmap(member, m->to, m->new_len, true);
	if (err)
		return err;
	to = fixed ? m->to : host_none(0, m->new_len, 0);
	if (IS_ERR_VALUE(to))
		return to;
	a = area_at(member, m->old);
	if (!m->old_len)
		return copy_area(a, m->old, to, m->new_len);
	return move_area(a, to, m->new_len);
}

static long lock_part(struct lkl_area *a, unsigned long from, unsigned long to, unsigned long arg)
{
	return 0;
}

static long change(unsigned int member, unsigned long op, unsigned long start, unsigned long len, unsigned long arg)
{
	unsigned long end = start + len;
	long err;

	switch (op) {
	case LKL_AREA_UNMAP:
		return unmap(member, start, len, false);
	case LKL_AREA_REPLACE:
		return unmap(member, start, len, true);
	case LKL_AREA_PROTECT:
		err = each_part(member, start, end, HOST_mprotect, arg, protect_part);
		areas_merge(member, start, end);
		return err;
	case LKL_AREA_ADVISE:
		return each_part(member, start, end, HOST_madvise, arg, advise_part);
	case LKL_AREA_CORE:
		return core(member, start, end, arg);
	case LKL_AREA_LOCK:
		return each_part(member, start, end, HOST_mlock, arg, lock_part);
	}
	return -EINVAL;
}

/* private call: (what, address, length, further arguments of the system call).  AREA_NOT_OURS: no area is concerned */
long lkl_area_op(unsigned long op, unsigned long start, unsigned long len, unsigned long arg, unsigned long flags,
		 unsigned long to)
{
	unsigned int member = lkl_own_member();
	struct move m = { .old = start, .old_len = PAGE_ALIGN(len), .new_len = PAGE_ALIGN(arg), .flags = flags, .to = to };
	unsigned long end = start + PAGE_ALIGN(len);
	struct lkl_area *a;
	long err;

	/* the range is what is wrong with the call, and the host says so */
	if (end < start || (op != LKL_AREA_MOVE && (offset_in_page(start) || !len)))
		return AREA_NOT_OURS;
	a = area_from(member, start);
	if (!a || a->vma.vm_start >= max(end, start + 1))
		return AREA_NOT_OURS;
	if (op == LKL_AREA_SYNC)
		return sync_areas(member, start, end, arg);
	if (op == LKL_AREA_ADVISE && arg == MADV_REMOVE)
		return remove(member, start, end);
	mutex_lock(&lkl_areas_lock);
	err = op == LKL_AREA_MOVE ? move(member, &m) : change(member, op, start, PAGE_ALIGN(len), arg);
	mutex_unlock(&lkl_areas_lock);
	return err;
}

/* the process is no more, or has executed another program */
void lkl_areas_forget(unsigned int member)
{
	struct lkl_area *a;

	while ((a = area_from(member, 0))) {
		area_remove(a);
		area_free(a);
	}
}

/*
 * private call: what the host maps of shared areas it maps no more.  (1): nor will it: the process leaves the kernel, and its
 * other threads must not reach pages that are given back.  (2): of none of them, whatever the areas say: after a fork
 */
long lkl_areas_end(unsigned long how)
{
	unsigned int member = lkl_own_member();
	struct lkl_area *a;

	mutex_lock(&lkl_areas_lock);
	for (a = area_from(member, 0); a; a = area_next(a))
		if (a->shared && how == 2)
			host_none(a->vma.vm_start, a->vma.vm_end - a->vma.vm_start, MAP_FIXED);
		else if (a->shared)
			area_hide(a);
	if (how == 1)
		lkl_areas_forget(member);
	mutex_unlock(&lkl_areas_lock);
	return 0;
}

static long copy_for_child(struct lkl_area *a, unsigned int child)
{
	struct lkl_area *b = area_like(a);
	unsigned long index;
	void *entry;
	long err = 0;

	if (!b)
		return -ENOMEM;
	b->member = child;
	b->runs = a->shared ? 0 : a->runs;
	if (!a->shared)
		xa_for_each(&a->pages, index, entry) {
			err = xa_err(xa_store(&b->pages, index, entry, GFP_KERNEL));
			b->nr_pages += !err;
			if (err)
				break;
		}
	if (err)
		area_free(b);
	else
		area_insert(b);
	return err;
}

/*
 * Before a fork: the child has the areas of its parent, with what was read into private ones.  What is mapped of shared ones
 * is mapped in neither of the two: the page is found again where it is touched.  The parent's threads make no area, and take
 * no fault, until the child is there.
 */
long lkl_areas_fork(unsigned int parent, unsigned int child)
{
	struct lkl_area *a;
	long err = 0;

	mutex_lock(&lkl_areas_lock);
	for (a = area_from(parent, 0); a && !err; a = area_next(a)) {
		err = a->shared ? area_hide(a) : 0;
		if (!err)
			err = copy_for_child(a, child);
	}
	if (err)
		lkl_areas_forget(child);
	mutex_unlock(&lkl_areas_lock);
	return err;
}
