// SPDX-License-Identifier: GPL-2.0
/* lo up; 127.0.0.1/8 and ::1 come by themselves (inetdev_event, addrconf). */
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <net/net_namespace.h>

long lkl_loopback_up(void);
long lkl_loopback_up(void)
{
	struct net_device *lo = init_net.loopback_dev;
	int err;

	rtnl_lock();
	err = dev_change_flags(lo, lo->flags | IFF_UP, NULL);
	rtnl_unlock();
	return err;
}
