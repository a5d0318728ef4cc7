// SPDX-License-Identifier: GPL-2.0-only
//! Which back end an interface has, and what the kernel is told of it.

use std::net::IpAddr;

use lkl::sys::OwnedFd;
use lkl::BackEndKind;
use stowaway_config::{BackEnd, Interface};

use super::{dhcp, given, pair, stream, switch, tap, user};

/// An Ethernet's usual longest packet.
const MTU: u32 = 1500;

/// A back end that is open, and what the interface is to be.
pub struct Opened {
    pub fd: OwnedFd,
    pub interface: lkl::Interface,
    pub addresses: Vec<(IpAddr, u8)>,
    pub gateways: Vec<IpAddr>,
    /// A program of the host that is still on its way.
    pub helper: Option<user::Helper>,
}

/// Opens the back end of an interface. Err: why there is none.
pub fn open(asked: &Interface) -> Result<Opened, String> {
    let mut is_listening = false;
    let (fd, kind) = match &asked.back_end {
        BackEnd::User => return user::open(asked),
        BackEnd::Switch(path) => (switch::open(path)?, BackEndKind::Stream),
        BackEnd::Pair(path) => {
            let (fd, waits) = pair::open(path)?;
            is_listening = waits;
            (fd, BackEndKind::Stream)
        }
        BackEnd::Tap(name) => (tap::open(name)?, BackEndKind::Tap),
        BackEnd::Fd(number) => given::take(*number)?,
        BackEnd::Stream { path, listen } => (stream::open(path, *listen)?, BackEndKind::Stream),
    };
    Ok(Opened {
        fd,
        interface: lkl::Interface {
            kind,
            has_segments: kind == BackEndKind::Tap,
            is_trusted: false,
            has_bare_resets: false,
            returns: asked.back_end.returns(),
            is_listening,
            mtu: asked.mtu.unwrap_or(MTU),
            // DHCP has to know it.
            mac: asked.mac.or_else(|| asked.dhcp.then(dhcp::random_mac)),
        },
        addresses: asked.addresses.clone(),
        gateways: asked.gateways.clone(),
        helper: None,
    })
}
