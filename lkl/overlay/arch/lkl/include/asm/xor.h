/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_LKL_XOR_H
#define _ASM_LKL_XOR_H
/* Fixed choice: the boot time benchmark would cost more than the boot. */
#include <asm-generic/xor.h>
#define XOR_SELECT_TEMPLATE(x) (&xor_block_32regs)
#endif
