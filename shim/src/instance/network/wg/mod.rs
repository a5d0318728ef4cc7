// SPDX-License-Identifier: GPL-2.0-only
//! A WireGuard tunnel from a file of wg-quick(8), made in the order of wg-quick: the interface, its keys and peers, its addresses, the
//! resolvers, the routes.
//!
//! | file | what it has |
//! |---|---|
//! | `device.rs` | the interface, keys and peers, by generic netlink |
//! | `names.rs` | the address of an Endpoint's name |
//! | `routes.rs` | routes of AllowedIPs, and what keeps the tunnel's own packets out of the tunnel |

mod device;
mod names;
mod routes;

pub use names::of_host;

use std::ffi::CString;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lkl::sys::file;
use stowaway_config::personality::wg::{self, Endpoint, Tunnel};

use super::configure::{add_address, up};
use super::netlink::{Call, Netlink};
use crate::sys::errno::{Errno, Explained};
use crate::sys::fs;

/// A file of more bytes is none that a person has written.
const MOST: usize = 1 << 20;
/// What WireGuard adds to a packet of IPv6, as wg-quick(8) counts.
const OVERHEAD: u32 = 80;

/// What the network below the tunnel is like.
pub struct Below {
    /// The longest packet.
    pub mtu: u32,
    /// Resolvers.
    pub resolvers: Vec<IpAddr>,
}

/// The file of a tunnel.
pub fn read(path: &Path) -> Result<Tunnel, String> {
    let unreadable = |e: Errno| format!("cannot be read: {}", Explained(e));
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| unreadable(Errno::EINVAL))?;
    let stat = file::stat(&name).map_err(unreadable)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err("is no file".into());
    }
    let mut text = vec![0; MOST];
    let len = fs::read_start(&name, &mut text).map_err(unreadable)?;
    let read = match len == MOST {
        true => Err("is longer than 1 MiB".into()),
        false => wg::read(&text[..len]).map_err(|wrong| wrong.to_string()),
    };
    text.fill(0);
    core::hint::black_box(&mut text);
    read
}

/// Makes the tunnel. The mark that its own packets have; 0: none.
pub fn set_up(call: &mut Call<'_>, tunnel: &Tunnel, below: &Below) -> Result<u32, String> {
    let said = |what: String| move |e: Errno| format!("{what}: {}", Explained(e));
    let endpoints = endpoints(call, tunnel, &below.resolvers)?;
    let mtu = tunnel.mtu.unwrap_or(below.mtu.saturating_sub(OVERHEAD).max(1280));
    let mark = routes::mark(tunnel, &endpoints);
    let index = device::make(call, mtu).map_err(said("no interface".into()))?;
    device::set(call, index, tunnel, mark).map_err(said("[Interface]".into()))?;
    for (number, (peer, endpoint)) in tunnel.peers.iter().zip(&endpoints).enumerate() {
        device::add_peer(call, index, peer, *endpoint)
            .map_err(said(format!("the [Peer] number {}", number + 1)))?;
    }
    let mut netlink = Netlink::open(call).map_err(said("rtnetlink".into()))?;
    for &(address, bits) in &tunnel.addresses {
        add_address(&mut netlink, index, (address, bits), u32::MAX)
            .map_err(said(format!("Address {address}/{bits}")))?;
    }
    up(&mut netlink, index).map_err(said("the interface does not come up".into()))?;
    routes::set_up(&mut netlink, index, tunnel, &endpoints, mark)?;
    Ok(mark)
}

/// Where each peer is.
fn endpoints(
    call: &mut Call<'_>,
    tunnel: &Tunnel,
    resolvers: &[IpAddr],
) -> Result<Vec<Option<SocketAddr>>, String> {
    let find = |peer: &wg::Peer| match &peer.endpoint {
        None => Ok(None),
        Some(Endpoint::Address(address)) => Ok(Some(*address)),
        Some(Endpoint::Name(name, port)) => {
            let address =
                names::find(call, name, resolvers).map_err(|why| format!("Endpoint {name}: {why}"))?;
            Ok(Some(SocketAddr::from((address, *port))))
        }
    };
    tunnel.peers.iter().map(find).collect()
}
