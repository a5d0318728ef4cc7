/* SPDX-License-Identifier: GPL-2.0-only */
/* zmm0 to zmm31 and k0 to k7 keep what they hold. */
#include "vectors.h"

#define LOAD(n) "	vmovups 64*" #n "(%r8), %zmm" #n "\n"
#define STORE(n) "	vmovups %zmm" #n ", 64*" #n "(%r9)\n"
#define HIGH(one) one(16) one(17) one(18) one(19) one(20) one(21) one(22) one(23) one(24) one(25) one(26) one(27) one(28) one(29) one(30) one(31)
#define MASKS(one) one(0) one(1) one(2) one(3) one(4) one(5) one(6) one(7)
#define LOAD_MASK(n) "	kmovw 2048+8*" #n "(%r8), %k" #n "\n"
#define STORE_MASK(n) "	kmovw %k" #n ", 2048+8*" #n "(%r9)\n"
VECTOR_SITE(zmm_site, LOAD, STORE, HIGH(LOAD) MASKS(LOAD_MASK), HIGH(STORE) MASKS(STORE_MASK) "	vzeroupper\n");

static long masks_only(long nr, long a, long b, long c, void *from, void *to)
{
	long result = zmm_site(nr, a, b, c, from, to);

	/* a mask is two bytes here: what lies between is not its own */
	for (int k = 0; k < 8; k++)
		memcpy((char *)to + 2048 + 8 * k + 2, (char *)from + 2048 + 8 * k + 2, 6);
	return result;
}

static int check(void)
{
	if (!__builtin_cpu_supports("avx512f"))
		SKIP("the processor has no AVX-512");
	keeps(masks_only, 2048 + 64);
	return 0;
}
