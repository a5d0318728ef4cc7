/* SPDX-License-Identifier: GPL-2.0-only */
/* Code written, then made executable; made writable again, and other code written there. */
#include "conform.h"

/* mov eax, N; ret */
static const unsigned char NUMBER[] = { 0xb8, 0, 0, 0, 0, 0xc3 };

static int check(void)
{
	unsigned char *code = pages(1, PROT_READ | PROT_WRITE);

	for (int i = 0; i < 20; i++) {
		CHECK(!mprotect(code, PAGE, PROT_READ | PROT_WRITE));
		memcpy(code, DOOR, sizeof(DOOR));
		CHECK(!mprotect(code, PAGE, PROT_READ | PROT_EXEC));
		SEEN((door *)code);
		CHECK(!mprotect(code, PAGE, PROT_READ | PROT_WRITE));
		memcpy(code, NUMBER, sizeof(NUMBER));
		code[1] = i;
		CHECK(!mprotect(code, PAGE, PROT_READ | PROT_EXEC));
		CHECK(((int (*)(void))code)() == i);
	}
	return 0;
}
