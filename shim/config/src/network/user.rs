// SPDX-License-Identifier: GPL-2.0-only
//! The network `user`: addresses of the program, and of what passt answers for. (The same as QEMU's and slirp's, so that people know
//! them; IPv6 ones are of the same shape.)

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The program's addresses, with the lengths of their prefixes.
pub const ADDRESSES: [(IpAddr, u8); 2] = [(four(15), 24), (six(15), 64)];
/// The gateways, which lead to the host's own loopback.
pub const GATEWAYS: [IpAddr; 2] = [four(2), six(2)];
/// What asks the host's resolver.
pub const RESOLVER: IpAddr = four(3);
/// The longest packet that passt takes.
pub const MTU: u32 = 65_520;

const fn four(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 2, last))
}

const fn six(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd10, 0, 2, 0, 0, 0, 0, last))
}
