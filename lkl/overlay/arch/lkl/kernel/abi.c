// SPDX-License-Identifier: GPL-2.0
/* The kernel's side of the comparison in lkl/tests/abi.rs. */
#include <linux/fs.h>
#include <linux/uaccess.h>
#include <linux/dirent.h>
#include <linux/eventfd.h>
#include <linux/eventpoll.h>
#include <linux/exportfs.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/if.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/inotify.h>
#include <linux/limits.h>
#include <uapi/linux/mount.h>
#include <linux/poll.h>
#include <linux/resource.h>
#include <linux/signalfd.h>
#include <linux/socket.h>
#include <linux/net.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <linux/statfs.h>
#include <linux/syscalls.h>
#include <linux/tcp.h>
#include <linux/timerfd.h>
#include <linux/un.h>
#include <linux/utsname.h>
#include <linux/xattr.h>
#include <asm/ioctls.h>
#include <asm/stat.h>
#include <asm/unistd.h>
#include "lkl.h"

#define NUM(x)			{ #x, (unsigned long)(x) },
#define NAMED(name, k, h)	{ name, (unsigned long)(k) },
#define SIZE(name, k, h)	{ "sizeof " name, sizeof(k) },
#define FIELD(name, k, kf, h, hf) { name, offsetof(k, kf) },
static const struct lkl_abi_row rows[] = {
#include "abi_rows.h"
	{ NULL, 0 }
};

LKL_API const struct lkl_abi_row *lkl_abi(void)
{
	return rows;
}
