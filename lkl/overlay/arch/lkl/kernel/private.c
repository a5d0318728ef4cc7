// SPDX-License-Identifier: GPL-2.0
/* The table of private calls: what the embedding process asks of us beyond x86-64's table. */
#include "../fs/atcalls.h"
#include "../fs/mount.h"
#include "lkl.h"

long lkl_loopback_up(void);

static long lkl_leave_cwd(void)
{
	hub_leave_cwd();
	return 0;
}

#define PRIVATE(name) [LKL_NR_##name - LKL_NR_PRIVATE] = (lkl_private_t)(void *)lkl_##name
const lkl_private_t lkl_private_calls[LKL_NR_PRIVATE_END - LKL_NR_PRIVATE] = {
	PRIVATE(disk_add),
	PRIVATE(hub_mount),
	PRIVATE(shutdown),
	PRIVATE(set_creds),
	PRIVATE(loopback_up),
	PRIVATE(getxattrat),
	PRIVATE(setxattrat),
	PRIVATE(listxattrat),
	PRIVATE(removexattrat),
	PRIVATE(statfsat),
	PRIVATE(chdirat),
	PRIVATE(truncateat),
	PRIVATE(fd_path),
	PRIVATE(hub_release),
	PRIVATE(give_back),
	PRIVATE(leave_cwd),
	PRIVATE(link_fd),
	PRIVATE(crash),
};
