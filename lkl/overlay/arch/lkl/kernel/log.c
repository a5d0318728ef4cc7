// SPDX-License-Identifier: GPL-2.0
/* The last words: what a panic or a fault prints before the process is aborted. */
#include <linux/kmsg_dump.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>
#include "lkl.h"

static char tail[12 << 10];		/* about 100 lines */

/* lock-free reads of the printk ring: fit for a signal handler, best effort */
LKL_API void lkl_dump_log(void (*emit)(void *ctx, const char *s, unsigned long len), void *ctx)
{
	struct kmsg_dump_iter iter;
	size_t len = 0;

	if (!lkl_ops)
		return;
	kmsg_dump_rewind(&iter);
	if (kmsg_dump_get_buffer(&iter, true, tail, sizeof(tail), &len) && len)
		emit(ctx, tail, len);
}

static void to_alert(void *ctx, const char *s, unsigned long len)
{
	lkl_ops->alert(s, len);
}

static int lkl_panic(struct notifier_block *nb, unsigned long ev, void *msg)
{
	static const char head[] = "stowaway: the in-process kernel panicked, its last log:\n";
	static const char memory[] = "stowaway: the in-process kernel is out of memory; give it more\n";

	lkl_ops->alert(head, sizeof(head) - 1);
	lkl_dump_log(to_alert, NULL);
	if (msg && strstr(msg, "on memory"))	/* out_of_memory() */
		lkl_ops->alert(memory, sizeof(memory) - 1);
	lkl_ops->panic();
	return 0;
}
static struct notifier_block panic_nb = { .notifier_call = lkl_panic, .priority = INT_MIN };

void lkl_panic_setup(void);
void __init lkl_panic_setup(void)
{
	atomic_notifier_chain_register(&panic_notifier_list, &panic_nb);
}
