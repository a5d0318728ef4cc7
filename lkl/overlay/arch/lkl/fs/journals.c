// SPDX-License-Identifier: GPL-2.0
/*
 * Journals in a small memory.  What a transaction has changed cannot be written back, nor given up, before the transaction is on the disk; and
 * Linux bounds transactions by the size of the journal, and their age by seconds.  A kernel with less memory than a journal has room would
 * fill all of it with one transaction, and then could not even commit.
 */
#include <linux/fs.h>
#include <linux/jbd2.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/string.h>
#include <linux/wait.h>
#include "../../../fs/ext4/ext4.h"
#include "journals.h"

/* ext4 works with a journal of JBD2_MIN_JOURNAL_BLOCKS, whose transactions have a quarter of that */
#define LEAST	(JBD2_MIN_JOURNAL_BLOCKS / 4)

/* fs/xfs/xfs_log.h */
struct xfs_mount;
int xfs_log_force(struct xfs_mount *mp, unsigned int flags);

static void commit(struct super_block *sb, void *unused)
{
	if (!strcmp(sb->s_type->name, "xfs"))
		xfs_log_force(sb->s_fs_info, 0);
	else if (sb->s_op->sync_fs && !sb_rdonly(sb))
		sb->s_op->sync_fs(sb, 0);
}

/*
 * What has been written is given up here, too: who asks from inside a transaction (GFP_NOFS) may not look into the caches of file systems,
 * and kswapd does not try any more after some failures.
 *
 * A thread of its own: a worker may not be there when no memory is left, and the worker that is there may be what the owner of a
 * superblock waits for.
 */
static DECLARE_WAIT_QUEUE_HEAD(wanted);
static bool is_wanted;

static int relieve(void *unused)
{
	unsigned int flags;

	for (;;) {
		wait_event_idle(wanted, READ_ONCE(is_wanted));
		WRITE_ONCE(is_wanted, false);
		/* the reserves are for those who make memory free */
		flags = memalloc_noreclaim_save();
		iterate_supers(commit, NULL);
		memalloc_noreclaim_restore(flags);
		drop_slab();
		NODE_DATA(0)->kswapd_failures = 0;
	}
	return 0;
}

static void start_relief(void)
{
	static bool is_started;

	if (!is_started)
		is_started = !IS_ERR(kthread_run(relieve, NULL, "lkl-journals"));
}

/* no memory is left: what waits for a commit is to be free soon */
void lkl_relieve_memory(void)
{
	WRITE_ONCE(is_wanted, true);
	wake_up(&wanted);
}

/*
 * A file system was mounted.  ext2, ext3 and ext4: a buffer of a transaction has a page at most, and needs about as much again
 * to be committed.
 */
void lkl_journal_mounted(struct super_block *sb)
{
	journal_t *journal;

	if (!strcmp(sb->s_type->name, "xfs") && !sb_rdonly(sb))
		start_relief();
	if (strncmp(sb->s_type->name, "ext", 3))
		return;
	journal = EXT4_SB(sb)->s_journal;
	if (!journal)
		return;
	start_relief();
	write_lock(&journal->j_state_lock);
	journal->j_max_transaction_buffers = min_t(unsigned long, journal->j_max_transaction_buffers,
						   max_t(unsigned long, LEAST, totalram_pages() / 8));
	write_unlock(&journal->j_state_lock);
}
