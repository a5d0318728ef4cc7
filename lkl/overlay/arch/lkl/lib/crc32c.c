// SPDX-License-Identifier: GPL-2.0
/*
 * crc32c by the CPU's own instruction (SSE4.2; it works on general registers, so nothing of the
 * application's vector state is touched).  ext4 checksums every inode, directory block, extent
 * block and journal block with it: by tables that is a third of the time of an untar.
 * Replaces the weak functions of lib/crc32.c, as arm64 and riscv do.
 */
#include <linux/cache.h>
#include <linux/crc32.h>
#include <linux/kernel.h>
#include <linux/init.h>
#include <asm/unaligned.h>

/* lib/crc32.c: by tables */
u32 __pure __crc32c_le_base(u32 crc, unsigned char const *p, size_t len);

#define CPUID_1_ECX_SSE4_2	(1u << 20)

static bool has_crc32 __ro_after_init;

/* Asked once: under a hypervisor each CPUID is a trip to it. */
static int __init find_crc32(void)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	asm volatile("cpuid" : "+a" (eax), "=b" (ebx), "+c" (ecx), "=d" (edx));
	has_crc32 = ecx & CPUID_1_ECX_SSE4_2;
	return 0;
}
pure_initcall(find_crc32);

u32 __pure __crc32c_le(u32 crc, unsigned char const *p, size_t len)
{
	u64 sum = crc;

	if (!has_crc32)
		return __crc32c_le_base(crc, p, len);
	for (; len >= 8; len -= 8, p += 8)
		asm("crc32q %1, %0" : "+r" (sum) : "rm" (get_unaligned((u64 *)p)));
	for (; len; len--, p++)
		asm("crc32b %1, %k0" : "+r" (sum) : "rm" (*p));
	return sum;
}
