// SPDX-License-Identifier: GPL-2.0
/*
 * Network interfaces whose frames the host moves: each frame by one call, with the vectors of the kernel's own memory.
 *
 * Frames are sent by the thread that drives the CPU, at once; the frame is freed when the call returns.  If the host has no room,
 * the frame stays in `waits` and the queue stops, until a thread of the host has seen that there is room.  Frames are
 * received by NAPI: a thread of the host waits until there is something, and raises LKL_IRQ_NET; lkn_poll() then reads
 * straight into pages that become parts of the packet.  When nothing is left, the thread is told to wait again (net_arm).
 *
 * All of this runs with the CPU held, so the driver's own data needs no lock.  Of struct lkl_net_link, the host's threads
 * change `armed`, `wants_room` and `home` at any time, and `state` from down to up.
 */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/virtio_net.h>
#include <net/tcp.h>
#include <asm/shared.h>
#include "../kernel/lkl.h"

/* a segmented frame has at most 64 KiB behind its headers */
#define LKN_PAGES	MAX_SKB_FRAGS
/* a frame up to this size is copied, and its page used again */
#define LKN_COPY	256
/* how much of a longer frame is looked at for its headers */
#define LKN_HEADERS	256
/* when there is no memory: the next try */
#define LKN_RETRY	(HZ / 50 ?: 1)

struct lkn {
	struct lkl_net_link link;
	struct net_device *dev;
	struct napi_struct napi;
	struct timer_list retry;
	struct sk_buff *waits;			/* could not be sent, or not all of it */
	struct page *pages[LKN_PAGES];
	struct lkl_iov in[LKN_PAGES + 1], out[MAX_SKB_FRAGS + 2];
	struct virtio_net_hdr in_head, out_head;
};

static bool lkn_has_head(const struct lkn *l)
{
	return l->link.kind == LKL_NET_TAP;
}

static bool lkn_is_up(const struct lkn *l)
{
	return READ_ONCE(l->link.state) == LKL_NET_UP;
}

/* the back end has ended, for good or until it comes back */
static void lkn_is_down(struct lkn *l)
{
	netif_carrier_off(l->dev);
	netif_stop_queue(l->dev);
	if (l->waits) {
		l->dev->stats.tx_dropped++;
		dev_kfree_skb_any(l->waits);
		l->waits = NULL;
	}
}

/* what the state of the back end is now: the host may have changed it */
static void lkn_follow(struct lkn *l)
{
	if (lkn_is_up(l) == netif_carrier_ok(l->dev))
		return;
	if (!lkn_is_up(l)) {
		lkn_is_down(l);
		return;
	}
	netif_carrier_on(l->dev);
	netif_wake_queue(l->dev);
}

static unsigned int lkn_map(struct lkn *l, struct sk_buff *skb)
{
	struct skb_shared_info *info = skb_shinfo(skb);
	unsigned int n = 0;
	int i;

	if (lkn_has_head(l)) {
		l->out[n].base = &l->out_head;
		l->out[n++].len = sizeof(l->out_head);
	}
	l->out[n].base = skb->data;
	l->out[n++].len = skb_headlen(skb);
	for (i = 0; i < info->nr_frags; i++) {
		l->out[n].base = skb_frag_address(&info->frags[i]);
		l->out[n++].len = skb_frag_size(&info->frags[i]);
	}
	return n;
}

/* -EAGAIN: the same frame is to be given once more */
static long lkn_send(struct lkn *l, struct sk_buff *skb)
{
	long err;

	/* in_head and out_head are little endian, as the host is */
	if (lkn_has_head(l) && virtio_net_hdr_from_skb(skb, &l->out_head, true, false, 0))
		err = -EINVAL;
	else
		err = lkl_ops->net_send(&l->link, l->out, lkn_map(l, skb), skb->len);
	if (err == -EAGAIN)
		return err;
	if (err) {
		l->dev->stats.tx_dropped++;
		dev_kfree_skb_any(skb);
		if (!lkn_is_up(l))
			lkn_is_down(l);
		return err;
	}
	l->dev->stats.tx_packets++;
	l->dev->stats.tx_bytes += skb->len;
	dev_consume_skb_any(skb);
	return 0;
}

static netdev_tx_t lkn_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct lkn *l = netdev_priv(dev);

	if (l->waits)
		return NETDEV_TX_BUSY;
	skb_tx_timestamp(skb);
	if (!lkn_has_head(l) && skb->ip_summed == CHECKSUM_PARTIAL && skb_checksum_help(skb)) {
		dev->stats.tx_dropped++;
		dev_kfree_skb_any(skb);
		return NETDEV_TX_OK;
	}
	if (lkn_send(l, skb) == -EAGAIN) {
		l->waits = skb;
		netif_stop_queue(dev);
	}
	return NETDEV_TX_OK;
}

/* there may be room again */
static void lkn_go_on_sending(struct lkn *l)
{
	struct sk_buff *skb = l->waits;

	if (!skb)
		return;
	l->waits = NULL;
	if (lkn_send(l, skb) == -EAGAIN)
		l->waits = skb;
	else if (lkn_is_up(l))
		netif_wake_queue(l->dev);
}

/* whether there is memory for the longest frame */
static bool lkn_refill(struct lkn *l)
{
	unsigned int i, at = lkn_has_head(l);

	for (i = 0; i < LKN_PAGES; i++) {
		if (l->pages[i])
			continue;
		l->pages[i] = dev_alloc_page();
		if (!l->pages[i])
			return false;
		l->in[at + i].base = page_address(l->pages[i]);
		l->in[at + i].len = PAGE_SIZE;
	}
	return true;
}

/* the packet of a frame of len bytes, which lies in the pages */
static struct sk_buff *lkn_build(struct lkn *l, unsigned int len)
{
	void *start = page_address(l->pages[0]);
	unsigned int i, pull = len, at, part;
	struct sk_buff *skb;

	if (len > LKN_COPY)
		pull = eth_get_headlen(l->dev, start, LKN_HEADERS);
	skb = napi_alloc_skb(&l->napi, LKN_COPY);
	if (!skb)
		return NULL;
	skb_put_data(skb, start, pull);
	len -= pull;
	for (i = 0, at = pull; len; i++, at = 0) {
		part = min_t(unsigned int, len, PAGE_SIZE - at);
		skb_add_rx_frag(skb, i, l->pages[i], at, part, PAGE_SIZE);
		l->pages[i] = NULL;
		len -= part;
	}
	return skb;
}

/*
 * A reset without an acknowledgement does not refuse a connection (RFC 9293, 3.10.7.3): the program would wait until its connect()
 * times out.  The acknowledged number is right, only the bit is missing.  It changes nothing for connections that stand: of
 * their resets only the sequence number counts.
 */
static void lkn_mend_reset(struct sk_buff *skb)
{
	const struct ethhdr *eth = (void *)skb->data;
	unsigned int at = ETH_HLEN;
	struct tcphdr *tcp;

	if (eth->h_proto == htons(ETH_P_IP) && skb_headlen(skb) >= at + sizeof(struct iphdr)) {
		const struct iphdr *ip = (void *)(skb->data + at);

		if (ip->protocol != IPPROTO_TCP || ip->frag_off & htons(IP_OFFSET))
			return;
		at += ip->ihl * 4;
	} else if (eth->h_proto == htons(ETH_P_IPV6) && skb_headlen(skb) >= at + sizeof(struct ipv6hdr)) {
		const struct ipv6hdr *ip = (void *)(skb->data + at);

		if (ip->nexthdr != IPPROTO_TCP)
			return;
		at += sizeof(*ip);
	} else {
		return;
	}
	tcp = (void *)(skb->data + at);
	if (skb_headlen(skb) >= at + sizeof(*tcp) && tcp->rst && !tcp->ack)
		tcp->ack = 1;
}

static void lkn_take(struct lkn *l, unsigned int len)
{
	struct net_device *dev = l->dev;
	unsigned int head = lkn_has_head(l) ? sizeof(l->in_head) : 0;
	struct sk_buff *skb;

	if (len < head + ETH_HLEN) {
		dev->stats.rx_errors++;
		dev->stats.rx_length_errors++;
		return;
	}
	skb = lkn_build(l, len - head);
	if (!skb) {
		dev->stats.rx_dropped++;
		return;
	}
	dev->stats.rx_packets++;
	dev->stats.rx_bytes += skb->len;
	if (head) {
		if (l->in_head.flags & VIRTIO_NET_HDR_F_DATA_VALID)
			skb->ip_summed = CHECKSUM_UNNECESSARY;
		if (virtio_net_hdr_to_skb(skb, &l->in_head, true)) {
			dev->stats.rx_errors++;
			dev->stats.rx_frame_errors++;
			kfree_skb(skb);
			return;
		}
	} else if (l->link.features & LKL_NET_TRUSTED) {
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	}
	if (l->link.features & LKL_NET_BARE_RESETS)
		lkn_mend_reset(skb);
	skb->protocol = eth_type_trans(skb, dev);
	napi_gro_receive(&l->napi, skb);
}

static int lkn_poll(struct napi_struct *napi, int budget)
{
	struct lkn *l = container_of(napi, struct lkn, napi);
	unsigned int n = LKN_PAGES + lkn_has_head(l);
	int done = 0;
	long len;

	lkn_follow(l);
	lkn_go_on_sending(l);
	while (done < budget) {
		if (!lkn_is_up(l))
			break;
		if (!lkn_refill(l)) {
			mod_timer(&l->retry, jiffies + LKN_RETRY);
			break;
		}
		len = lkl_ops->net_receive(&l->link, l->in, n);
		if (len == -EAGAIN)
			break;
		if (len < 0) {
			lkn_is_down(l);
			break;
		}
		lkn_take(l, len);
		done++;
	}
	if (done < budget && napi_complete_done(napi, done) && !timer_pending(&l->retry))
		lkl_ops->net_arm(&l->link);
	return done;
}

static void lkn_retry(struct timer_list *t)
{
	struct lkn *l = from_timer(l, t, retry);

	napi_schedule(&l->napi);
}

static irqreturn_t lkn_interrupt(int irq, void *unused)
{
	struct lkl_net_link *link;

	for (link = lkl_shared.net_links; link; link = link->next) {
		struct lkn *l = container_of(link, struct lkn, link);

		/* an interface that is down reads nothing: the thread waits until it is up */
		if (READ_ONCE(link->armed) != LKL_NET_ARMED && netif_running(l->dev))
			napi_schedule(&l->napi);
	}
	return IRQ_HANDLED;
}

static int lkn_open(struct net_device *dev)
{
	struct lkn *l = netdev_priv(dev);

	napi_enable(&l->napi);
	if (lkn_is_up(l) && !l->waits)
		netif_start_queue(dev);
	/* what came meanwhile */
	napi_schedule(&l->napi);
	return 0;
}

static int lkn_stop(struct net_device *dev)
{
	struct lkn *l = netdev_priv(dev);

	netif_stop_queue(dev);
	del_timer_sync(&l->retry);
	napi_disable(&l->napi);
	return 0;
}

static void lkn_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, "lkn", sizeof(info->driver));
}

static const struct ethtool_ops lkn_ethtool = {
	.get_drvinfo = lkn_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_ts_info = ethtool_op_get_ts_info,
};

static const struct net_device_ops lkn_ops = {
	.ndo_open = lkn_open,
	.ndo_stop = lkn_stop,
	.ndo_start_xmit = lkn_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

static void lkn_set_up(struct net_device *dev, const struct lkl_net *what)
{
	dev->netdev_ops = &lkn_ops;
	dev->ethtool_ops = &lkn_ethtool;
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = ETH_MAX_MTU - ETH_HLEN;
	dev->mtu = what->mtu;
	/* without a header for it in front of the frame, lkn_xmit() makes the checksum */
	dev->hw_features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_RXCSUM;
	if (what->features & LKL_NET_TSO)
		dev->hw_features |= NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_TSO_ECN;
	dev->features = dev->hw_features | NETIF_F_HIGHDMA;
	dev->vlan_features = dev->features;
	if (is_valid_ether_addr(what->mac))
		eth_hw_addr_set(dev, what->mac);
	else
		eth_hw_addr_random(dev);
}

/* private call: a new interface, which is down; its index */
long lkl_net_add(const struct lkl_net *what)
{
	static bool has_irq;
	struct net_device *dev;
	struct lkn *l;
	int err;

	lkl_run_deferred_initcalls("net");
	if (!has_irq && request_irq(LKL_IRQ_NET, lkn_interrupt, 0, "lkn", &lkl_shared.net_links))
		return -EBUSY;
	has_irq = true;
	dev = alloc_etherdev(sizeof(struct lkn));
	if (!dev)
		return -ENOMEM;
	l = netdev_priv(dev);
	l->dev = dev;
	l->link.number = what->number;
	l->link.kind = what->kind;
	l->link.features = what->features;
	l->link.armed = LKL_NET_OFF;
	if (lkn_has_head(l)) {
		l->in[0].base = &l->in_head;
		l->in[0].len = sizeof(l->in_head);
	}
	timer_setup(&l->retry, lkn_retry, 0);
	netif_napi_add(dev, &l->napi, lkn_poll);
	lkn_set_up(dev, what);
	err = register_netdev(dev);
	if (err) {
		free_netdev(dev);
		return err;
	}
	if (what->features & LKL_NET_STARTS_LISTENING) {
		l->link.state = LKL_NET_LISTENING;
		netif_carrier_off(dev);
	} else {
		netif_carrier_on(dev);
	}
	l->link.next = lkl_shared.net_links;
	smp_store_release(&lkl_shared.net_links, &l->link);
	return dev->ifindex;
}

static bool lkn_has_outside(void)
{
	struct lkl_net_link *link;

	for (link = lkl_shared.net_links; link; link = link->next)
		if (READ_ONCE(link->state) == LKL_NET_UP)
			return true;
	return false;
}

/* grows with what is heard of others by TCP */
unsigned long lkl_net_heard(void);
unsigned long lkl_net_heard(void)
{
	return snmp_fold_field(init_net.mib.tcp_statistics, TCP_MIB_INSEGS);
}

/*
 * The instance ends, and all sockets are closed: what the other side has not got yet is sent first, as long as that takes to the
 * outside, but not for ever, nor for somebody of whom nothing is heard.
 */
#define LKN_LINGER	(10 * HZ)
#define LKN_SILENCE	(2 * HZ)
void lkl_net_linger(void)
{
	unsigned long heard = 0, now;
	int i, silent = 0;

	if (!lkn_has_outside())
		return;
	for (i = 0; i < LKN_LINGER && silent < LKN_SILENCE && tcp_orphan_count_sum() > 0; i++) {
		schedule_timeout_uninterruptible(1);
		now = lkl_net_heard();
		silent = now == heard ? silent + 1 : 0;
		heard = now;
	}
}
