// SPDX-License-Identifier: GPL-2.0
/* The kernel's side of the comparison of layouts (layout_rows.h). */
#include <linux/stddef.h>
#include "lkl.h"

#define SIZE(type)		{ "sizeof " #type, sizeof(struct type) },
#define FIELD(type, field)	{ #type "." #field, offsetof(struct type, field) },
#define VALUE(name)		{ #name, (unsigned long)(name) },
static const struct lkl_abi_row rows[] = {
#include "layout_rows.h"
	{ NULL, 0 }
};

LKL_API const struct lkl_abi_row *lkl_layout(void)
{
	return rows;
}
