// SPDX-License-Identifier: GPL-2.0
/*
 * vmap() and vm_map_ram() without page tables.  mm/nommu.c has BUG() for them; file systems need
 * them for buffers of several pages, so the linker leads their calls here (--wrap in the
 * Makefile).  Pages that happen to be neighbours need nothing.
 *
 * An alias is contiguous memory of its own that is carried over by copying, as for a cache with aliases: in at map and at
 * invalidate_kernel_vmap_range() (the pages were read), back at flush_kernel_vmap_range() (the pages will be written) and at
 * unmap.  Callers keep to one side at a time between those points.  (More host mappings of the same pages would be one
 * process's own, and XFS keeps thousands of aliases.)
 *
 * NTFS reads and writes the pages that it has mapped: ntfs_bio_pages() carries over as well.  What maps a page twice (BPF's
 * ring buffer) cannot be served so.
 *
 * An alias that the kernel's own memory has no room for in one piece lies behind that memory, in the window: an extent of
 * erofs may unpack to more than the largest block of pages.
 */
#include <linux/blk_types.h>
#include <linux/genalloc.h>
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/highmem.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "../kernel/lkl.h"

struct alias {
	struct hlist_node node;
	struct hlist_node by_page;
	void *addr;
	bool in_window;
	unsigned int count;
	struct page *pages[];
};

#define ALIAS_BITS 6
static struct hlist_head aliases[1 << ALIAS_BITS];
/* by the first page */
static struct hlist_head aliases_of[1 << ALIAS_BITS];

static struct hlist_head *bucket(const void *addr)
{
	return &aliases[hash_ptr(addr, ALIAS_BITS)];
}

static struct hlist_head *bucket_of(const struct page *first)
{
	return &aliases_of[hash_ptr(first, ALIAS_BITS)];
}

static struct alias *find_alias(const void *addr)
{
	struct alias *a;

	hlist_for_each_entry(a, bucket(addr), node)
		if (a->addr == addr)
			return a;
	return NULL;
}

static void copy_in(struct alias *a)
{
	unsigned int i;

	for (i = 0; i < a->count; i++)
		memcpy(a->addr + i * PAGE_SIZE, page_address(a->pages[i]), PAGE_SIZE);
}

static void copy_back(struct alias *a)
{
	unsigned int i;

	for (i = 0; i < a->count; i++)
		memcpy(page_address(a->pages[i]), a->addr + i * PAGE_SIZE, PAGE_SIZE);
}

void flush_kernel_vmap_range(void *vaddr, int size)
{
	struct alias *a = find_alias(vaddr);

	if (a)
		copy_back(a);
}

void invalidate_kernel_vmap_range(void *vaddr, int size)
{
	struct alias *a = find_alias(vaddr);

	if (a)
		copy_in(a);
}

static bool neighbours(struct page **pages, unsigned int count)
{
	unsigned int i;

	for (i = 1; i < count; i++)
		if (pages[i] != pages[0] + i)
			return false;
	return true;
}

/* those who do begin again behind the pages that they map once */
static bool maps_twice(struct page **pages, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count - 1; i++)
		if (pages[i] == pages[count - 1])
			return true;
	return false;
}

static size_t alias_bytes(const struct alias *a)
{
	return (size_t)a->count << PAGE_SHIFT;
}

static struct gen_pool *window;

static int __init make_window(void)
{
	window = gen_pool_create(PAGE_SHIFT, NUMA_NO_NODE);
	if (!window || gen_pool_add(window, lkl_window, lkl_window_bytes, NUMA_NO_NODE))
		panic("lkl: no memory for the window\n");
	return 0;
}
core_initcall(make_window);

static bool get_memory(struct alias *a)
{
	size_t bytes = alias_bytes(a);

	a->in_window = false;
	a->addr = NULL;
	if (bytes <= (PAGE_SIZE << (MAX_ORDER - 1)))
		a->addr = alloc_pages_exact(bytes, GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY);
	if (a->addr)
		return true;
	a->in_window = true;
	a->addr = (void *)gen_pool_alloc(window, bytes);
	return a->addr;
}

static void put_memory(const struct alias *a)
{
	if (!a->in_window) {
		free_pages_exact(a->addr, alias_bytes(a));
		return;
	}
	lkl_ops->release_pages((unsigned long)a->addr, alias_bytes(a));
	gen_pool_free(window, (unsigned long)a->addr, alias_bytes(a));
}

static void *map(struct page **pages, unsigned int count)
{
	struct alias *a;

	if (neighbours(pages, count))
		return page_address(pages[0]);
	a = kmalloc(struct_size(a, pages, count), GFP_KERNEL);
	if (!a)
		return NULL;
	a->count = count;
	if (!get_memory(a)) {
		kfree(a);
		return NULL;
	}
	memcpy(a->pages, pages, count * sizeof(*pages));
	copy_in(a);
	hlist_add_head(&a->node, bucket(a->addr));
	hlist_add_head(&a->by_page, bucket_of(pages[0]));
	return a->addr;
}

static void unmap(const void *addr)
{
	struct alias *a = find_alias(addr);

	if (!a)
		return;
	hlist_del(&a->node);
	hlist_del(&a->by_page);
	copy_back(a);
	put_memory(a);
	kfree(a);
}

void *__wrap_vmap(struct page **pages, unsigned int count, unsigned long flags, pgprot_t prot);
void *__wrap_vmap(struct page **pages, unsigned int count, unsigned long flags, pgprot_t prot)
{
	return count > 1 && maps_twice(pages, count) ? NULL : map(pages, count);
}

void __wrap_vunmap(const void *addr);
void __wrap_vunmap(const void *addr)
{
	unmap(addr);
}

void *__wrap_vm_map_ram(struct page **pages, unsigned int count, int node);
void *__wrap_vm_map_ram(struct page **pages, unsigned int count, int node)
{
	return map(pages, count);
}

void __wrap_vm_unmap_ram(const void *mem, unsigned int count);
void __wrap_vm_unmap_ram(const void *mem, unsigned int count)
{
	unmap(mem);
}

#ifdef CONFIG_NTFS3_FS
struct ntfs_sb_info;
struct runs_tree;

static void carry_over(struct page *first, void (*copy)(struct alias *))
{
	struct alias *a;

	hlist_for_each_entry(a, bucket_of(first), by_page)
		if (a->pages[0] == first)
			copy(a);
}

int __real_ntfs_bio_pages(struct ntfs_sb_info *sbi, const struct runs_tree *run, struct page **pages, u32 count,
			  u64 vbo, u32 bytes, enum req_op op);
int __wrap_ntfs_bio_pages(struct ntfs_sb_info *sbi, const struct runs_tree *run, struct page **pages, u32 count,
			  u64 vbo, u32 bytes, enum req_op op);
int __wrap_ntfs_bio_pages(struct ntfs_sb_info *sbi, const struct runs_tree *run, struct page **pages, u32 count,
			  u64 vbo, u32 bytes, enum req_op op)
{
	int err;

	if (op == REQ_OP_WRITE)
		carry_over(pages[0], copy_back);
	err = __real_ntfs_bio_pages(sbi, run, pages, count, vbo, bytes, op);
	if (op == REQ_OP_READ)
		carry_over(pages[0], copy_in);
	return err;
}
#endif
