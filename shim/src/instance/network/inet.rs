// SPDX-License-Identifier: GPL-2.0-only
//! Internet sockets in the kernel, by which this library asks others on the network before the program starts.

use std::net::{IpAddr, SocketAddr};

use lkl::sys::time::monotonic_ns;

use super::configure::family;
use super::netlink::Call;
use crate::sys::errno::{Errno, Result};

/// A socket, which is closed with the value.
pub struct Inet<'a, 'b> {
    call: &'a mut Call<'b>,
    fd: usize,
}

impl<'a, 'b> Inet<'a, 'b> {
    /// A socket for addresses like this one; `kind`: `SOCK_DGRAM` or `SOCK_STREAM`.
    pub fn open(call: &'a mut Call<'b>, like: IpAddr, kind: i32) -> Result<Inet<'a, 'b>> {
        let kind = (kind | libc::SOCK_CLOEXEC) as usize;
        let fd = call(libc::SYS_socket, &[family(like).into(), kind, 0, 0, 0, 0])?;
        Ok(Inet { call, fd })
    }

    /// Sets an option of the level SOL_SOCKET.
    pub fn set(&mut self, option: i32, value: &[u8]) -> Result {
        let (level, at) = (libc::SOL_SOCKET as usize, value.as_ptr() as usize);
        (self.call)(libc::SYS_setsockopt, &[self.fd, level, option as usize, at, value.len(), 0])
    }

    /// Sets SO_RCVTIMEO or SO_SNDTIMEO.
    pub fn set_time(&mut self, option: i32, us: u64) -> Result {
        // `struct timeval`
        self.set(option, &[us / 1_000_000, us % 1_000_000].map(u64::to_ne_bytes).concat())
    }

    /// bind(2)
    pub fn bind(&mut self, address: SocketAddr) -> Result {
        self.with_address(libc::SYS_bind, address)
    }

    /// connect(2)
    pub fn connect(&mut self, address: SocketAddr) -> Result {
        self.with_address(libc::SYS_connect, address)
    }

    fn with_address(&mut self, nr: i64, address: SocketAddr) -> Result {
        let bytes = bytes(address);
        (self.call)(nr, &[self.fd, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])
    }

    /// Sends a message to an address, or to whom the socket is connected.
    pub fn send(&mut self, message: &[u8], to: Option<SocketAddr>) -> Result {
        let to = to.map_or(Vec::new(), bytes);
        let at = if to.is_empty() { 0 } else { to.as_ptr() as usize };
        let args = [self.fd, message.as_ptr() as usize, message.len(), 0, at, to.len()];
        (self.call)(libc::SYS_sendto, &args)
    }

    /// What is made of the first message that something is made of. ETIMEDOUT: none comes until then.
    pub fn receive<T>(&mut self, until_ns: u64, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> Result<T> {
        loop {
            let left_us = until_ns.saturating_sub(monotonic_ns()) / 1_000;
            if left_us == 0 {
                return Err(Errno::ETIMEDOUT);
            }
            self.set_time(libc::SO_RCVTIMEO, left_us)?;
            let mut message = [0; 1500];
            let args = [self.fd, message.as_mut_ptr() as usize, message.len(), 0, 0, 0];
            match (self.call)(libc::SYS_recvfrom, &args) {
                Ok(len) => {
                    if let Some(found) = wanted(&message[..len.min(message.len())]) {
                        return Ok(found);
                    }
                }
                Err(Errno::EAGAIN) => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl Drop for Inet<'_, '_> {
    fn drop(&mut self) {
        let _ = (self.call)(libc::SYS_close, &[self.fd, 0, 0, 0, 0, 0]);
    }
}

/// `struct sockaddr_in` or `struct sockaddr_in6`
pub fn bytes(address: SocketAddr) -> Vec<u8> {
    let family = u16::from(family(address.ip())).to_ne_bytes();
    let mut all = [&family[..], &address.port().to_be_bytes()].concat();
    match address {
        SocketAddr::V4(four) => {
            all.extend(four.ip().octets());
            all.extend([0; 8]);
        }
        SocketAddr::V6(six) => {
            all.extend(six.flowinfo().to_be_bytes());
            all.extend(six.ip().octets());
            all.extend(six.scope_id().to_ne_bytes());
        }
    }
    all
}
