/* SPDX-License-Identifier: GPL-2.0-only */
/* ld.so finds a library of the program on the image. */
#include "conform.h"

door library_door;

static int check(void)
{
	SEEN(library_door);
	return 0;
}
