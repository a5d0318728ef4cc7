/* SPDX-License-Identifier: GPL-2.0 */
/* Linux's own, but that programs do have mappings of the page cache: mm/area_hooks.c takes their write access away. */
#include_next <linux/rmap.h>
#ifndef _LKL_LINUX_RMAP_H
#define _LKL_LINUX_RMAP_H
int lkl_folio_mkclean(struct folio *folio);
#define folio_mkclean(folio)	lkl_folio_mkclean(folio)
#define page_mkclean(page)	lkl_folio_mkclean(page_folio(page))
#endif
