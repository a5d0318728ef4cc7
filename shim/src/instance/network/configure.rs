// SPDX-License-Identifier: GPL-2.0-only
//! Addresses and routes of the kernel's interface, by rtnetlink(7).

use std::net::IpAddr;

use super::netlink::{Call, Netlink, Request};
use crate::sys::errno::{Errno, Explained, Result};

/// `IFA_F_NODAD`: the addresses are known to be nobody else's, or the user answers for them.
const IFA_F_NODAD: u8 = 0x02;

/// Brings the interface up, with its addresses and default routes.
pub fn configure(
    call: &mut Call<'_>,
    index: u32,
    addresses: &[(IpAddr, u8)],
    gateways: &[IpAddr],
) -> core::result::Result<(), String> {
    configure_for(call, index, addresses, gateways, u32::MAX)
}

/// The same, with addresses for so many seconds.
pub fn configure_for(
    call: &mut Call<'_>,
    index: u32,
    addresses: &[(IpAddr, u8)],
    gateways: &[IpAddr],
    seconds: u32,
) -> core::result::Result<(), String> {
    let said = |what: String| move |e: Errno| format!("{what}: {}", Explained(e));
    let mut netlink = Netlink::open(call).map_err(said("rtnetlink".into()))?;
    up(&mut netlink, index).map_err(said("the interface does not come up".into()))?;
    for &(address, bits) in addresses {
        add_address(&mut netlink, index, (address, bits), seconds)
            .map_err(said(format!("address {address}/{bits}")))?;
    }
    for &gateway in gateways {
        add_route(&mut netlink, index, gateway).map_err(said(format!("gateway {gateway}")))?;
    }
    Ok(())
}

pub fn up(netlink: &mut Netlink<'_, '_>, index: u32) -> Result<()> {
    let up = (libc::IFF_UP as u32).to_ne_bytes();
    // `struct ifinfomsg`: family, pad, type, index, flags, change.
    let head = [&[0; 4][..], &index.to_ne_bytes(), &up, &up].concat();
    netlink.ask(Request::new(libc::RTM_NEWLINK, 0, &head))
}

pub fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

pub fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

pub fn add_address(
    netlink: &mut Netlink<'_, '_>,
    index: u32,
    (address, bits): (IpAddr, u8),
    seconds: u32,
) -> Result<()> {
    // `struct ifaddrmsg`: family, length of the prefix, flags, scope, index.
    let head = [&[family(address), bits, IFA_F_NODAD, 0][..], &index.to_ne_bytes()].concat();
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let mut request = Request::new(libc::RTM_NEWADDR, flags, &head)
        .with(libc::IFA_LOCAL, &bytes(address))
        .with(libc::IFA_ADDRESS, &bytes(address));
    if let (IpAddr::V4(address), ..=30) = (address, bits) {
        let broadcast = u32::from(address) | (u32::MAX >> bits);
        request = request.with(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    if seconds != u32::MAX {
        // `struct ifa_cacheinfo`: preferred, valid, created, changed.
        let times = [seconds.to_ne_bytes(), seconds.to_ne_bytes(), [0; 4], [0; 4]].concat();
        request = request.with(libc::IFA_CACHEINFO, &times);
    }
    netlink.ask(request)
}

fn add_route(netlink: &mut Netlink<'_, '_>, index: u32, gateway: IpAddr) -> Result<()> {
    // `struct rtmsg`: family, lengths of the prefixes, TOS, table, protocol, scope, type, flags.
    let (table, protocol) = (libc::RT_TABLE_MAIN, libc::RTPROT_STATIC);
    let head =
        [family(gateway), 0, 0, 0, table, protocol, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST, 0, 0, 0, 0];
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let request = Request::new(libc::RTM_NEWROUTE, flags, &head)
        .with(libc::RTA_GATEWAY, &bytes(gateway))
        .with(libc::RTA_OIF, &index.to_ne_bytes());
    netlink.ask(request)
}
