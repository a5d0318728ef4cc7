/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LKL_FS_JOURNALS_H
#define _LKL_FS_JOURNALS_H

struct super_block;

void lkl_journal_mounted(struct super_block *sb);
void lkl_relieve_memory(void);
#endif
