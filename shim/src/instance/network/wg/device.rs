// SPDX-License-Identifier: GPL-2.0-only
//! The interface of a tunnel, and what WireGuard is told by generic netlink (uapi/linux/wireguard.h). The crates that do this bring in
//! their own sockets, which would be the host's; what is needed here is these few numbers.

use std::net::SocketAddr;

use stowaway_config::personality::wg::{Network, Peer, Tunnel};

use super::super::attributes::{find, Attributes};
use super::super::configure::{bytes, family};
use super::super::inet;
use super::super::netlink::{Call, Netlink, Request};
use crate::sys::errno::{Errno, Result};

/// The interface.
const NAME: &str = "wg0";
const KIND: &[u8] = b"wireguard";

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

const WG_CMD_SET_DEVICE: u8 = 1;
const VERSION: u8 = 1;
const WGDEVICE_A_IFINDEX: u16 = 1;
const WGDEVICE_A_PRIVATE_KEY: u16 = 3;
const WGDEVICE_A_LISTEN_PORT: u16 = 6;
const WGDEVICE_A_FWMARK: u16 = 7;
const WGDEVICE_A_PEERS: u16 = 8;
const WGPEER_A_PUBLIC_KEY: u16 = 1;
const WGPEER_A_PRESHARED_KEY: u16 = 2;
const WGPEER_A_ENDPOINT: u16 = 4;
const WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL: u16 = 5;
const WGPEER_A_ALLOWEDIPS: u16 = 9;
const WGALLOWEDIP_A_FAMILY: u16 = 1;
const WGALLOWEDIP_A_IPADDR: u16 = 2;
const WGALLOWEDIP_A_CIDR_MASK: u16 = 3;

/// A list is an attribute, which is shorter than 64 KiB; a member has at most 40 bytes.
const MOST_ALLOWED: usize = 1_000;

/// Makes the interface, which is down. Its index.
pub fn make(call: &mut Call<'_>, mtu: u32) -> Result<u32> {
    let mut netlink = Netlink::open(call)?;
    let kind = Attributes::new().with(libc::IFLA_INFO_KIND, KIND);
    let all = Attributes::new()
        .with(libc::IFLA_IFNAME, &[NAME.as_bytes(), b"\0"].concat())
        .with(libc::IFLA_MTU, &mtu.to_ne_bytes())
        .with_nested(libc::IFLA_LINKINFO, &kind);
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    // `struct ifinfomsg`
    netlink.ask(Request::new(libc::RTM_NEWLINK, flags, &[0; 16]).with_all(&all))?;
    netlink.index_of(NAME)
}

/// Sets what is this end's.
pub fn set(call: &mut Call<'_>, index: u32, tunnel: &Tunnel, mark: u32) -> Result<()> {
    let mut all = Attributes::new()
        .with(WGDEVICE_A_IFINDEX, &index.to_ne_bytes())
        .with(WGDEVICE_A_PRIVATE_KEY, tunnel.private_key.bytes())
        .with(WGDEVICE_A_FWMARK, &mark.to_ne_bytes());
    if let Some(port) = tunnel.listen_port {
        all = all.with(WGDEVICE_A_LISTEN_PORT, &port.to_ne_bytes());
    }
    tell(call, &all)
}

/// Adds a peer, with what is sent to it in several messages if it is much.
pub fn add_peer(call: &mut Call<'_>, index: u32, peer: &Peer, endpoint: Option<SocketAddr>) -> Result<()> {
    let mut start = Attributes::new()
        .with(WGPEER_A_PUBLIC_KEY, &peer.public_key)
        .with(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, &peer.keepalive.to_ne_bytes());
    if let Some(key) = &peer.preshared_key {
        start = start.with(WGPEER_A_PRESHARED_KEY, key.bytes());
    }
    if let Some(endpoint) = endpoint {
        start = start.with(WGPEER_A_ENDPOINT, &inet::bytes(endpoint));
    }
    let (first, rest) = peer.allowed.split_at(peer.allowed.len().min(MOST_ALLOWED));
    tell_peer(call, index, start, first)?;
    rest.chunks(MOST_ALLOWED).try_for_each(|more| {
        tell_peer(call, index, Attributes::new().with(WGPEER_A_PUBLIC_KEY, &peer.public_key), more)
    })
}

fn tell_peer(call: &mut Call<'_>, index: u32, peer: Attributes, allowed: &[Network]) -> Result<()> {
    let one = |&(address, bits): &Network| {
        Attributes::new()
            .with(WGALLOWEDIP_A_FAMILY, &u16::from(family(address)).to_ne_bytes())
            .with(WGALLOWEDIP_A_IPADDR, &bytes(address))
            .with(WGALLOWEDIP_A_CIDR_MASK, &[bits])
    };
    let allowed: Vec<Attributes> = allowed.iter().map(one).collect();
    let peer = peer.with_list(WGPEER_A_ALLOWEDIPS, &allowed);
    let all =
        Attributes::new().with(WGDEVICE_A_IFINDEX, &index.to_ne_bytes()).with_list(WGDEVICE_A_PEERS, &[peer]);
    tell(call, &all)
}

fn tell(call: &mut Call<'_>, all: &Attributes) -> Result<()> {
    let mut netlink = Netlink::open_for(call, libc::NETLINK_GENERIC)?;
    let name = Attributes::new().with(CTRL_ATTR_FAMILY_NAME, b"wireguard\0");
    let asked = Request::new(GENL_ID_CTRL, 0, &head(CTRL_CMD_GETFAMILY)).with_all(&name);
    let said = netlink.ask_for(asked)?;
    let id =
        said.get(4..).and_then(|all| find(all, CTRL_ATTR_FAMILY_ID)?.first_chunk()).ok_or(Errno::EPROTO)?;
    netlink.ask(Request::new(u16::from_ne_bytes(*id), 0, &head(WG_CMD_SET_DEVICE)).with_all(all))
}

/// `struct genlmsghdr`: command, version, reserved.
fn head(command: u8) -> [u8; 4] {
    [command, VERSION, 0, 0]
}
