// SPDX-License-Identifier: GPL-2.0-only
//! What is made of a network that is there: delays and queues of its interface, a tunnel over it.

use std::net::IpAddr;

use lkl::sys::file;
use lkl::Kernel;
use stowaway_config::personality::dns;
use stowaway_config::user;

use super::netlink::{Call, Netlink};
use super::queues;
use super::wg::{self, Below};
use super::{call, set_sysctl, text_of_resolvers};
use crate::sys::errno::{Explained, Result};
use crate::sys::fs;
use crate::sys::settings::settings;
use crate::sys::thread::Thread;

/// What passt's connections fit into on the way to a peer.
const WAN_MTU: u32 = 1500;

/// Makes what the settings ask for, over interfaces with these longest packets. Err: which setting, and why not.
pub fn set_up(
    kernel: &'static Kernel,
    thread: &'static Thread,
    mtus: &[u32],
) -> core::result::Result<(), String> {
    if let Some(path) = &settings().nft {
        // Under plain preload nobody has run nft.
        return Err(format!(
            "nft={}: only stowaway run reads rules: start the program with it",
            path.display()
        ));
    }
    if queues::is_any() {
        let mut call = |nr: i64, args: &[usize; 6]| call(kernel, thread, nr, args);
        queues(&mut call, mtus)?;
    }
    let Some(path) = &settings().wg else { return Ok(()) };
    tunnel(kernel, thread, path, mtus.first().copied().unwrap_or(WAN_MTU))
        .map_err(|why| format!("wg={}: {why}", path.display()))
}

/// Sets the interfaces to the outside up, or the loopback where there are none.
fn queues(call: &mut Call<'_>, mtus: &[u32]) -> core::result::Result<(), String> {
    let said = |e| format!("the interface: {}", Explained(e));
    let mut netlink = Netlink::open(call).map_err(said)?;
    if mtus.is_empty() {
        let index = netlink.index_of("lo").map_err(said)?;
        let mut mtu = queues::MTU_OF_LOOPBACK;
        match queues::is_like_a_wire() {
            true => queues::set_mtu(&mut netlink, index, mtu).map_err(said)?,
            false => mtu = u32::from(u16::MAX),
        }
        return queues::set_up(&mut netlink, index, mtu);
    }
    for (number, &mtu) in mtus.iter().enumerate() {
        let index = netlink.index_of(&format!("eth{number}")).map_err(said)?;
        queues::set_up(&mut netlink, index, mtu)?;
    }
    Ok(())
}

fn tunnel(
    kernel: &'static Kernel,
    thread: &'static Thread,
    path: &std::path::Path,
    mtu: u32,
) -> core::result::Result<(), String> {
    let tunnel = wg::read(path)?;
    let is_user = settings().net.has_user();
    let mtu = if is_user { mtu.min(WAN_MTU) } else { mtu };
    let below = Below { mtu, resolvers: resolvers_below(kernel) };
    let mut call = |nr: i64, args: &[usize; 6]| call(kernel, thread, nr, args);
    if wg::set_up(&mut call, &tunnel, &below)? != 0 {
        // With rp_filter, packets of the tunnel come from where a route with their mark leads.
        set_sysctl(kernel, thread, "net.ipv4.conf.all.src_valid_mark", "1")
            .map_err(|e| format!("src_valid_mark: {}", Explained(e)))?;
    }
    if tunnel.dns.is_empty() && tunnel.search.is_empty() {
        return Ok(());
    }
    let servers = if tunnel.dns.is_empty() { below.resolvers } else { tunnel.dns.clone() };
    leave(kernel, &text_of_resolvers(&servers, &tunnel.search))
        .map_err(|e| format!("the resolvers are not known to programs: {}", Explained(e)))
}

/// Who resolves names for the network to the outside.
fn resolvers_below(kernel: &Kernel) -> Vec<IpAddr> {
    if !settings().dns.is_empty() {
        return settings().dns.clone();
    }
    if let Some(left) = kernel.network_file() {
        let mut text = [0; 4096];
        let len = file::read_at(left.raw(), &mut text, 0).unwrap_or(0);
        return dns::resolvers(&text[..len]);
    }
    match settings().net.has_user() {
        true => vec![user::RESOLVER],
        false => dns::resolvers(&wg::of_host(c"/etc/resolv.conf")),
    }
}

/// Leaves the text of a resolv.conf for all processes, in the place of what DHCP has left.
fn leave(kernel: &Kernel, text: &str) -> Result<()> {
    match kernel.network_file() {
        Some(left) => {
            file::truncate(left.raw(), 0)?;
            fs::write_at(left.raw(), text.as_bytes(), 0).map(drop)
        }
        None => {
            let file = fs::memory_file(c"resolv.conf")?;
            fs::write_all(file.raw(), text.as_bytes());
            kernel.leave_network_file(file.raw())
        }
    }
}
