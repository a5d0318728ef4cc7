// SPDX-License-Identifier: GPL-2.0-only
/* The host's side of the comparison in abi.rs: prints "value name" for each row. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

/* the kernel's types for the next rows have other names here */
#ifndef F_SETOWN
#error feature macros
#endif
#define ROW(n, v)		printf("%lu %s\n", (unsigned long)(v), n);
#define NUM(x)			ROW(#x, x)
#define NAMED(name, k, h)	ROW(name, h)
#define SIZE(name, k, h)	ROW("sizeof " name, sizeof(h))
#define FIELD(name, k, kf, h, hf) ROW(name, offsetof(h, hf))

int main(void)
{
#include "abi_rows.h"
	return 0;
}
