// SPDX-License-Identifier: GPL-2.0-only
//! An IPv4 address by DHCP, asked for through the kernel's own UDP before the program starts.

use std::net::{Ipv4Addr, SocketAddr};

use lkl::sys::process::random_u64;
use lkl::sys::time::monotonic_ns;

use super::inet::Inet;
use super::lease::{ask, read, Lease, Said};
use super::netlink::Call;
use crate::sys::errno::{Errno, Explained, Result};

/// Ports of DHCP.
const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// How long an answer is waited for, in turn, ms.
const PATIENCE_MS: [u64; 4] = [1_000, 2_000, 3_000, 4_000];

/// A socket in the kernel at the port of clients, for one interface.
fn open<'a, 'b>(call: &'a mut Call<'b>, interface: &[u8]) -> Result<Inet<'a, 'b>> {
    let mut socket = Inet::open(call, Ipv4Addr::UNSPECIFIED.into(), libc::SOCK_DGRAM)?;
    socket.set(libc::SO_BINDTODEVICE, interface)?;
    socket.set(libc::SO_BROADCAST, &1u32.to_ne_bytes())?;
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, CLIENT)))?;
    Ok(socket)
}

/// A random Ethernet address of this kind of cards: one that nobody sells.
pub fn random_mac() -> [u8; 6] {
    let random = random_u64().unwrap_or_else(|_| monotonic_ns()).to_ne_bytes();
    [(random[0] & !3) | 2, random[1], random[2], random[3], random[4], random[5]]
}

/// Asks for an address at the interface, which is up.
pub fn lease(call: &mut Call<'_>, interface: &[u8], mac: [u8; 6]) -> core::result::Result<Lease, String> {
    let mut socket = open(call, interface).map_err(|e| format!("ip=dhcp: no socket: {}", Explained(e)))?;
    for patience_ms in PATIENCE_MS {
        match exchange(&mut socket, mac, patience_ms * 1_000_000) {
            Ok(Some(lease)) => return Ok(lease),
            // It was refused, or nobody answered: from the start.
            Ok(None) | Err(Errno::ETIMEDOUT) => {}
            Err(e) => return Err(format!("ip=dhcp: {}", Explained(e))),
        }
    }
    Err("ip=dhcp: no server gives an address".into())
}

fn exchange(socket: &mut Inet<'_, '_>, mac: [u8; 6], patience_ns: u64) -> Result<Option<Lease>> {
    let id = random_u64().unwrap_or_else(|_| monotonic_ns()) as u32;
    let all = Some(SocketAddr::from((Ipv4Addr::BROADCAST, SERVER)));
    socket.send(&ask(id, mac, None), all)?;
    let offer = socket.receive(monotonic_ns() + patience_ns, |message| match read(message, id, mac) {
        Some(Said::Offer(lease)) => Some(lease),
        _ => None,
    })?;
    socket.send(&ask(id, mac, Some(&offer)), all)?;
    socket.receive(monotonic_ns() + patience_ns, |message| match read(message, id, mac) {
        Some(Said::Ack(lease)) => Some(Some(lease)),
        Some(Said::Nak) => Some(None),
        _ => None,
    })
}
