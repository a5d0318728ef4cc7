/* SPDX-License-Identifier: GPL-2.0-only */
/* xmm0 to xmm15 keep what they hold. */
#include "vectors.h"

#define LOAD(n) "	movups 16*" #n "(%r8), %xmm" #n "\n"
#define STORE(n) "	movups %xmm" #n ", 16*" #n "(%r9)\n"
VECTOR_SITE(xmm_site, LOAD, STORE, "", "");

static int check(void)
{
	keeps(xmm_site, 16 * 16);
	return 0;
}
