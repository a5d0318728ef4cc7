// SPDX-License-Identifier: GPL-2.0-only
//! Routes of AllowedIPs. A network that has a peer's own address in it, as 0.0.0.0/0 has, is routed by a table that packets with the
//! tunnel's mark do not use; the rules are those of wg-quick(8):
//!
//! | priority | who | table |
//! |---|---|---|
//! | 32764 | everybody | main, but for its default route |
//! | 32765 | packets without the mark | the tunnel's |
//! | 32766 | everybody | main |

use std::net::{IpAddr, SocketAddr};

use stowaway_config::personality::wg::{Network, Table, Tunnel};

use super::super::attributes::Attributes;
use super::super::configure::{bytes, family};
use super::super::netlink::{Netlink, Request};
use crate::sys::errno::{Explained, Result};

/// The mark and the table of wg-quick(8), if the file names none.
const MARK: u32 = 51820;
/// From libc::RTM_NEWRULE's header, uapi/linux/fib_rules.h.
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FR_ACT_TO_TBL: u8 = 1;
const FIB_RULE_INVERT: u32 = 2;

fn contains(&(network, bits): &Network, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (u32::from(a) ^ u32::from(b)).checked_shr(32 - u32::from(bits)).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (u128::from(a) ^ u128::from(b)).checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// Whether a network would lead the tunnel's own packets into the tunnel.
fn would_loop(network: &Network, endpoints: &[Option<SocketAddr>]) -> bool {
    network.1 == 0 || endpoints.iter().flatten().any(|endpoint| contains(network, endpoint.ip()))
}

/// The mark of the tunnel's own packets; 0: they need none.
pub fn mark(tunnel: &Tunnel, endpoints: &[Option<SocketAddr>]) -> u32 {
    let mut allowed = tunnel.peers.iter().flat_map(|peer| &peer.allowed);
    let loops = tunnel.table == Table::Auto && allowed.any(|network| would_loop(network, endpoints));
    match tunnel.mark {
        0 if loops => MARK,
        mark => mark,
    }
}

/// Adds the routes, each once, and the rules that they need.
pub fn set_up(
    netlink: &mut Netlink<'_, '_>,
    index: u32,
    tunnel: &Tunnel,
    endpoints: &[Option<SocketAddr>],
    mark: u32,
) -> core::result::Result<(), String> {
    let mut networks: Vec<Network> = tunnel.peers.iter().flat_map(|peer| peer.allowed.clone()).collect();
    networks.sort_unstable();
    networks.dedup();
    let is_own =
        |network: &Network| tunnel.addresses.iter().any(|own| own.1 <= network.1 && contains(own, network.0));
    let mut with_rules = Vec::new();
    for network in networks {
        let table = match tunnel.table {
            Table::Off => continue,
            Table::Number(table) => table,
            Table::Auto if would_loop(&network, endpoints) => {
                with_rules.push(family(network.0));
                mark
            }
            // The address brought its route with it.
            Table::Auto if is_own(&network) => continue,
            Table::Auto => libc::RT_TABLE_MAIN.into(),
        };
        add_route(netlink, index, network, table)
            .map_err(|e| format!("the route of AllowedIPs {}/{}: {}", network.0, network.1, Explained(e)))?;
    }
    with_rules.dedup();
    for family in with_rules {
        add_rules(netlink, family, mark).map_err(|e| format!("rules for routes: {}", Explained(e)))?;
    }
    Ok(())
}

fn add_route(netlink: &mut Netlink<'_, '_>, index: u32, network: Network, table: u32) -> Result<()> {
    let (address, bits) = network;
    let scope = if address.is_ipv4() { libc::RT_SCOPE_LINK } else { libc::RT_SCOPE_UNIVERSE };
    // `struct rtmsg`: family, lengths of the prefixes, TOS, table, protocol, scope, type, flags. The table is an attribute.
    let head = [family(address), bits, 0, 0, 0, libc::RTPROT_BOOT, scope, libc::RTN_UNICAST, 0, 0, 0, 0];
    let all = Attributes::new()
        .with(libc::RTA_DST, &bytes(address))
        .with(libc::RTA_OIF, &index.to_ne_bytes())
        .with(libc::RTA_TABLE, &table.to_ne_bytes());
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    netlink.ask(Request::new(libc::RTM_NEWROUTE, flags, &head).with_all(&all))
}

fn add_rules(netlink: &mut Netlink<'_, '_>, family: u8, mark: u32) -> Result<()> {
    let near = Attributes::new()
        .with(FRA_PRIORITY, &32_764u32.to_ne_bytes())
        .with(FRA_TABLE, &u32::from(libc::RT_TABLE_MAIN).to_ne_bytes())
        .with(FRA_SUPPRESS_PREFIXLEN, &0u32.to_ne_bytes());
    let far = Attributes::new()
        .with(FRA_PRIORITY, &32_765u32.to_ne_bytes())
        .with(FRA_TABLE, &mark.to_ne_bytes())
        .with(FRA_FWMARK, &mark.to_ne_bytes());
    for (flags, all) in [(0, near), (FIB_RULE_INVERT, far)] {
        // `struct fib_rule_hdr`: family, lengths of the prefixes, TOS, table, reserved, action, flags.
        let head = [&[family, 0, 0, 0, 0, 0, 0, FR_ACT_TO_TBL][..], &flags.to_ne_bytes()].concat();
        let new = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        netlink.ask(Request::new(libc::RTM_NEWRULE, new, &head).with_all(&all))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_addresses_in_them() {
        let network = |text: &str| {
            let (address, bits) = text.split_once('/').unwrap();
            (address.parse::<IpAddr>().unwrap(), bits.parse::<u8>().unwrap())
        };
        for (all, one, is_in) in [
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.0", false),
            ("::/0", "fd00::1", true),
            ("fd00::/64", "fd00::1", true),
            ("fd00::/128", "fd00::1", false),
        ] {
            assert_eq!(contains(&network(all), one.parse().unwrap()), is_in, "{all} {one}");
        }
        let there = [Some("192.0.2.1:1".parse().unwrap())];
        assert!(would_loop(&network("128.0.0.0/1"), &there) && !would_loop(&network("10.0.0.0/8"), &there));
    }
}
