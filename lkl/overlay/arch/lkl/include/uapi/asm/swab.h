/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* The application's own layout: x86-64's. */
#include "../../../../x86/include/uapi/asm/swab.h"
