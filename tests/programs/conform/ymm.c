/* SPDX-License-Identifier: GPL-2.0-only */
/* ymm0 to ymm15 keep their upper halves, too. */
#include "vectors.h"

#define LOAD(n) "	vmovups 32*" #n "(%r8), %ymm" #n "\n"
#define STORE(n) "	vmovups %ymm" #n ", 32*" #n "(%r9)\n"
VECTOR_SITE(ymm_site, LOAD, STORE, "", "	vzeroupper\n");

static int check(void)
{
	if (!__builtin_cpu_supports("avx"))
		SKIP("the processor has no AVX");
	keeps(ymm_site, 16 * 32);
	return 0;
}
