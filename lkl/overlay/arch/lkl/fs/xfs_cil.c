// SPDX-License-Identifier: GPL-2.0
/*
 * XFS collects what transactions have changed in memory (the CIL) until that is an eighth of the log, and only then writes it to the log.
 * A kernel with less memory than that would fill all of it, and then could not write even the log.  Here it is written when it is a part
 * of the memory.  The call of fs/xfs/xfs_trans.c is led here (--wrap in the Makefile); it may wait, as it does for a full CIL.
 */
#include "xfs.h"
#include "xfs_fs.h"
#include "xfs_format.h"
#include "xfs_log_format.h"
#include "xfs_shared.h"
#include "xfs_trans_resv.h"
#include "xfs_mount.h"
#include "xfs_log.h"
#include "xfs_log_priv.h"

/* what is logged of an inode is a fraction of what the inode takes while it waits */
#define PART	16

void __real_xlog_cil_commit(struct xlog *log, struct xfs_trans *tp, xfs_csn_t *seq, bool regrant);
void __wrap_xlog_cil_commit(struct xlog *log, struct xfs_trans *tp, xfs_csn_t *seq, bool regrant);
void __wrap_xlog_cil_commit(struct xlog *log, struct xfs_trans *tp, xfs_csn_t *seq, bool regrant)
{
	struct xfs_cil *cil = log->l_cilp;
	struct xlog_cil_pcp *here;
	unsigned long used;

	__real_xlog_cil_commit(log, tp, seq, regrant);
	/* most of it is counted by CPU, of which there is one */
	here = per_cpu_ptr(cil->xc_pcp, 0);
	used = atomic_read(&cil->xc_ctx->space_used) + here->space_used;
	if (used > (totalram_pages() << PAGE_SHIFT) / PART)
		xfs_log_force(log->l_mp, 0);
}
