// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is not used goes back to the host.
 *
 * Free pages: by free page reporting, as to a hypervisor: some seconds after they became free, in blocks that are worth a
 * call.  They come back, zeroed, when they are touched.
 *
 * Clean page cache: when the host is short of memory, which is looked at now and then as long as there is any cache to speak
 * of, and when asked.
 */
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/page_reporting.h>
#include <linux/pagemap.h>
#include <linux/scatterlist.h>
#include <linux/swap.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#include "../kernel/lkl.h"

#define BLOCK_ORDER	5			/* 128 KiB */
#define LOOK_EVERY	(10 * HZ)
#define CACHE_WORTH_A_LOOK (4UL << (20 - PAGE_SHIFT))

static void release_to_host(struct page *page, unsigned long bytes)
{
	lkl_ops->release_pages((unsigned long)page_address(page), bytes);
}

static int report(struct page_reporting_dev_info *dev, struct scatterlist *list, unsigned int n)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sg(list, sg, n, i)
		release_to_host(sg_page(sg), sg->length);
	return 0;
}

static struct page_reporting_dev_info reporter = { .report = report, .order = BLOCK_ORDER };

/* all free blocks at once, without the reporter's patience; the number of pages */
static unsigned long release_free_blocks(void)
{
	unsigned long flags, pages = 0;
	struct zone *zone;
	struct page *page;
	unsigned int order, type;

	lru_add_drain_all();
	drain_local_pages(NULL);
	for_each_populated_zone(zone) {
		spin_lock_irqsave(&zone->lock, flags);
		for_each_migratetype_order(order, type) {
			if (order < BLOCK_ORDER)
				continue;
			list_for_each_entry(page, &zone->free_area[order].free_list[type], buddy_list) {
				if (PageReported(page))
					continue;
				release_to_host(page, PAGE_SIZE << order);
				__SetPageReported(page);
				pages += 1UL << order;
			}
		}
		spin_unlock_irqrestore(&zone->lock, flags);
	}
	return pages;
}

/* as drop_pagecache_sb() of fs/drop_caches.c, which is not to be had */
static void drop_clean_pages(struct super_block *sb, void *unused)
{
	struct inode *inode, *last = NULL;

	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		spin_lock(&inode->i_lock);
		if ((inode->i_state & (I_FREEING | I_WILL_FREE | I_NEW)) || mapping_empty(inode->i_mapping)) {
			spin_unlock(&inode->i_lock);
			continue;
		}
		__iget(inode);
		spin_unlock(&inode->i_lock);
		spin_unlock(&sb->s_inode_list_lock);
		invalidate_mapping_pages(inode->i_mapping, 0, -1);
		iput(last);
		last = inode;
		cond_resched();
		spin_lock(&sb->s_inode_list_lock);
	}
	spin_unlock(&sb->s_inode_list_lock);
	iput(last);
}

/* what can be had back from the host at any time, or read again; the number of pages given */
long lkl_release_memory(void)
{
	lru_add_drain_all();
	iterate_supers(drop_clean_pages, NULL);
	drop_slab();
	return release_free_blocks();
}

static void look(struct work_struct *work);
static DECLARE_DELAYED_WORK(looking, look);

static void look(struct work_struct *work)
{
	if (global_node_page_state(NR_FILE_PAGES) >= CACHE_WORTH_A_LOOK && lkl_ops->short_of_memory())
		lkl_release_memory();
	schedule_delayed_work(&looking, LOOK_EVERY);
}

/* there is something that fills the cache now */
void lkl_watch_memory(void)
{
	schedule_delayed_work(&looking, LOOK_EVERY);
}

static int __init release_memory_init(void)
{
	return page_reporting_register(&reporter);
}
late_initcall(release_memory_init);
