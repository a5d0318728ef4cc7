// SPDX-License-Identifier: GPL-2.0
/*
 * What a command has to know that looks at a running kernel from outside, by its memory file (tools/src/look): the layout of
 * the kernel's own structures, as rows.  The addresses where it begins are in the table of symbols (lkl/kbuild/src/symbols.rs).
 * The rows are constants of the library's file, and no process reads them.
 */
#include <linux/mmzone.h>
#include <linux/stddef.h>
#include <asm/unistd.h>
#include "../../../kernel/printk/printk_ringbuffer.h"
#include "lkl.h"

#define SIZE(type)		{ "sizeof " #type, sizeof(struct type) },
#define FIELD(type, field)	{ #type "." #field, offsetof(struct type, field) },
#define VALUE(name)		{ #name, (unsigned long)(name) },

LKL_API const struct lkl_abi_row lkl_look_rows[] = {
	/* the log */
	FIELD(printk_ringbuffer, desc_ring) FIELD(printk_ringbuffer, text_data_ring)
	FIELD(prb_desc_ring, count_bits) FIELD(prb_desc_ring, descs) FIELD(prb_desc_ring, infos)
	FIELD(prb_desc_ring, head_id) FIELD(prb_desc_ring, tail_id)
	FIELD(prb_data_ring, size_bits) FIELD(prb_data_ring, data)
	SIZE(prb_desc) FIELD(prb_desc, state_var) FIELD(prb_desc, text_blk_lpos)
	FIELD(prb_data_blk_lpos, begin) FIELD(prb_data_blk_lpos, next)
	SIZE(printk_info) FIELD(printk_info, seq) FIELD(printk_info, ts_nsec) FIELD(printk_info, text_len)
	/* who calls, and who waits for the CPU */
	FIELD(lkl_shared, cpu) FIELD(lkl_shared, inbox) FIELD(lkl_shared, members) VALUE(LKL_MEMBERS)
	SIZE(lkl_member_row) FIELD(lkl_member_row, number) FIELD(lkl_member_row, pid)
	SIZE(lkl_call_slot) FIELD(lkl_call_slot, next) FIELD(lkl_call_slot, home)
	VALUE(__NR_syscalls)
	/* indices into vm_zone_stat and vm_node_stat */
	VALUE(NR_FREE_PAGES) VALUE(NR_FILE_PAGES) VALUE(NR_FILE_DIRTY)
	/* struct lkb: drivers/lkb.c has more */
	VALUE(LKL_NO_PLACE)
	{ NULL, 0 }
};
