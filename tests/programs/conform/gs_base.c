/* SPDX-License-Identifier: GPL-2.0-only */
/* The GS register's base is the program's to set. */
#include "conform.h"
#include <asm/prctl.h>

static uint64_t block[2] = { 0x1122334455667788, 99 }, other[2] = { 0x99aabbccddeeff00, 98 };

static uint64_t at_gs(void)
{
	uint64_t word;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(word) : : "memory");
	return word;
}

static void *body(void *arg)
{
	unsigned long base = 1;

	(void)arg;
	CHECK(!syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
	CHECK(!syscall(SYS_arch_prctl, ARCH_SET_GS, other));
	SEEN(raw);
	CHECK(at_gs() == other[0]);
	return NULL;
}

static int check(void)
{
	unsigned long base = 1;
	pthread_t thread;

	SEEN(raw);
	CHECK(!syscall(SYS_arch_prctl, ARCH_GET_GS, &base) && base == 0);
	CHECK(!syscall(SYS_arch_prctl, ARCH_SET_GS, block));
	SEEN(raw);
	CHECK(at_gs() == block[0] && !syscall(SYS_arch_prctl, ARCH_GET_GS, &base) && base == (unsigned long)block);
	CHECK(!pthread_create(&thread, NULL, body, NULL) && !pthread_join(thread, NULL) && at_gs() == block[0]);
	if (getauxval(AT_HWCAP2) & 2) {
		uint64_t read_back;
		__asm__ volatile("wrgsbase %1\n	rdgsbase %0" : "=r"(read_back) : "r"(other));
		CHECK(read_back == (uint64_t)other);
		SEEN(raw);
		CHECK(at_gs() == other[0]);
	}
	return 0;
}
