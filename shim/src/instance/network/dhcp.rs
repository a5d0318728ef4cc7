// SPDX-License-Identifier: GPL-2.0-only
//! An IPv4 address by DHCP, asked for through the kernel's own UDP before the program starts.

use lkl::sys::process::random_u64;
use lkl::sys::time::monotonic_ns;

use super::lease::{ask, read, Lease, Said};
use super::netlink::Call;
use crate::sys::errno::{Errno, Explained, Result};

/// Ports of DHCP.
const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// How long an answer is waited for, in turn, ms.
const PATIENCE_MS: [u64; 4] = [1_000, 2_000, 3_000, 4_000];

/// A socket in the kernel at the port of clients, for one interface.
struct Socket<'a, 'b> {
    call: &'a mut Call<'b>,
    fd: usize,
}

/// `struct sockaddr_in`
fn address(ip: [u8; 4], port: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    bytes[2..4].copy_from_slice(&port.to_be_bytes());
    bytes[4..8].copy_from_slice(&ip);
    bytes
}

impl<'a, 'b> Socket<'a, 'b> {
    fn open(call: &'a mut Call<'b>, interface: &[u8]) -> Result<Socket<'a, 'b>> {
        let kind = (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize;
        let fd = call(libc::SYS_socket, &[libc::AF_INET as usize, kind, 0, 0, 0, 0])?;
        let mut socket = Socket { call, fd };
        socket.set(libc::SO_BINDTODEVICE, interface)?;
        socket.set(libc::SO_BROADCAST, &1u32.to_ne_bytes())?;
        let own = address([0; 4], CLIENT);
        (socket.call)(libc::SYS_bind, &[fd, own.as_ptr() as usize, own.len(), 0, 0, 0])?;
        Ok(socket)
    }

    fn set(&mut self, option: i32, value: &[u8]) -> Result {
        let args =
            [self.fd, libc::SOL_SOCKET as usize, option as usize, value.as_ptr() as usize, value.len(), 0];
        (self.call)(libc::SYS_setsockopt, &args)
    }

    fn send(&mut self, message: &[u8]) -> Result {
        let to = address([255; 4], SERVER);
        let (at, len) = (message.as_ptr() as usize, message.len());
        (self.call)(libc::SYS_sendto, &[self.fd, at, len, 0, to.as_ptr() as usize, to.len()])
    }

    /// A message that makes sense, until then.
    fn receive<T>(&mut self, until_ns: u64, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> Result<T> {
        loop {
            let left = until_ns.saturating_sub(monotonic_ns()) / 1_000;
            if left == 0 {
                return Err(Errno::ETIMEDOUT);
            }
            // `struct timeval`
            let mut time = [0; 16];
            time[..8].copy_from_slice(&(left / 1_000_000).to_ne_bytes());
            time[8..].copy_from_slice(&(left % 1_000_000).to_ne_bytes());
            self.set(libc::SO_RCVTIMEO, &time)?;
            let mut message = [0; 1500];
            let args = [self.fd, message.as_mut_ptr() as usize, message.len(), 0, 0, 0];
            match (self.call)(libc::SYS_recvfrom, &args) {
                Ok(len) => {
                    if let Some(found) = wanted(&message[..len]) {
                        return Ok(found);
                    }
                }
                Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
                Err(e) => return Err(e),
            }
        }
    }
}

impl Drop for Socket<'_, '_> {
    fn drop(&mut self) {
        let _ = (self.call)(libc::SYS_close, &[self.fd, 0, 0, 0, 0, 0]);
    }
}

/// A random Ethernet address of this kind of cards: one that nobody sells.
pub fn random_mac() -> [u8; 6] {
    let random = random_u64().unwrap_or_else(|_| monotonic_ns()).to_ne_bytes();
    [(random[0] & !3) | 2, random[1], random[2], random[3], random[4], random[5]]
}

/// Asks for an address at the interface, which is up.
pub fn lease(call: &mut Call<'_>, interface: &[u8], mac: [u8; 6]) -> core::result::Result<Lease, String> {
    let mut socket =
        Socket::open(call, interface).map_err(|e| format!("ip=dhcp: no socket: {}", Explained(e)))?;
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

fn exchange(socket: &mut Socket<'_, '_>, mac: [u8; 6], patience_ns: u64) -> Result<Option<Lease>> {
    let id = random_u64().unwrap_or_else(|_| monotonic_ns()) as u32;
    socket.send(&ask(id, mac, None))?;
    let offer = socket.receive(monotonic_ns() + patience_ns, |message| match read(message, id, mac) {
        Some(Said::Offer(lease)) => Some(lease),
        _ => None,
    })?;
    socket.send(&ask(id, mac, Some(&offer)))?;
    socket.receive(monotonic_ns() + patience_ns, |message| match read(message, id, mac) {
        Some(Said::Ack(lease)) => Some(Some(lease)),
        Some(Said::Nak) => Some(None),
        _ => None,
    })
}
