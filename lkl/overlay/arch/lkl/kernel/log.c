// SPDX-License-Identifier: GPL-2.0
/* The end of the kernel's log, for last words. */
#include <linux/kmsg_dump.h>
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
