/* SPDX-License-Identifier: GPL-2.0-only */
/* prctl that switches Syscall User Dispatch off does not let calls slip by. */
#include "conform.h"

static int check(void)
{
	SEEN(raw);
	CHECK(!prctl(59, 0, 0, 0, 0));
	SEEN(raw);
	CHECK(!raw(SYS_prctl, 59, 0, 0, 0, 0, 0));
	SEEN(raw);
	unsigned char *code = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
	memcpy(code, DOOR, sizeof(DOOR));
	SEEN((door *)code);
	FAILS(prctl(59, 0, 1, 0, 0), EINVAL);
	FAILS(prctl(59, 7, 0, 0, 0), EINVAL);
	return 0;
}
