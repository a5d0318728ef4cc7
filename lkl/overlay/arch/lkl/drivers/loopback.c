// SPDX-License-Identifier: GPL-2.0
/* IPv4 and IPv6, and lo up; 127.0.0.1/8 and ::1 come by themselves (inetdev_event, addrconf). */
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <net/net_namespace.h>
#include "../kernel/lkl.h"

long lkl_loopback_up(void);
long lkl_loopback_up(void)
{
	struct net_device *lo = init_net.loopback_dev;
	int err;

	lkl_run_deferred_initcalls("net");
	rtnl_lock();
	err = dev_change_flags(lo, lo->flags | IFF_UP, NULL);
	rtnl_unlock();
	return err;
}
