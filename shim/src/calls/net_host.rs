// SPDX-License-Identifier: GPL-2.0-only
//! Destinations that are left to the host's network (`--net-host`).
//!
//! A socket is the kernel's when it is made: nobody knows yet where it will lead. When it connects, or sends, to such a destination and is
//! still as it was made, a socket of the host takes its number, with the options that programs set before a connection.
#![allow(unsafe_code)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::fdtable::{self, joined, HOST};
use crate::instance::enter::{enter_kernel, KernelContext};
use crate::sys::call::args;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, OwnedFd};
use crate::sys::report::say_once;
use crate::sys::settings::settings;
use crate::sys::{host, user};

/// Options that go with a socket: level, name, bytes.
const OPTIONS: [(i32, i32, usize); 23] = [
    (libc::SOL_SOCKET, libc::SO_REUSEADDR, 4),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT, 4),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 4),
    (libc::SOL_SOCKET, libc::SO_BROADCAST, 4),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE, 4),
    (libc::SOL_SOCKET, libc::SO_LINGER, 8),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO, 16),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO, 16),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMP, 4),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, 4),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 4),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 4),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 4),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 4),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK, 4),
    (libc::IPPROTO_IP, libc::IP_TOS, 4),
    (libc::IPPROTO_IP, libc::IP_RECVERR, 4),
    (libc::IPPROTO_IP, libc::IP_PKTINFO, 4),
    (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, 4),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 4),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 4),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 4),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, 4),
];

/// Whether sockets can become the host's.
fn is_asked() -> bool {
    !settings().net_host.is_empty()
}

/// Whether the socket of the kernel at this number is the host's from now on, because the address is left to the host. ENETUNREACH: it is,
/// but the socket cannot go.
pub fn takes(fd: usize, address: usize, len: usize) -> Result<bool> {
    if !is_asked() || address == 0 {
        return Ok(false);
    }
    match read(address, len) {
        Some((to, port)) if settings().net_host.iter().any(|destination| destination.holds(to, port)) => {
            enter_kernel(|context| leave(context, fd).map(usize::from)).map(|has_left| has_left != 0)
        }
        _ => Ok(false),
    }
}

/// The same with the addresses of messages.
pub fn takes_any(fd: usize, messages: impl IntoIterator<Item = usize>) -> Result<bool> {
    if !is_asked() {
        return Ok(false);
    }
    for at in messages {
        let Ok(message) = user::read::<libc::msghdr>(at) else { return Ok(false) };
        if takes(fd, message.msg_name as usize, message.msg_namelen as usize)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `struct sockaddr_in` or `struct sockaddr_in6`.
fn read(address: usize, len: usize) -> Option<(IpAddr, u16)> {
    let mut bytes = [0; 28];
    let len = (len as u32 as usize).min(bytes.len());
    user::read_bytes(&mut bytes[..len], address).ok()?;
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    match (i32::from(u16::from_ne_bytes([bytes[0], bytes[1]])), len) {
        (libc::AF_INET, 16..) => {
            Some((Ipv4Addr::from([bytes[4], bytes[5], bytes[6], bytes[7]]).into(), port))
        }
        (libc::AF_INET6, 24..) => {
            let six: [u8; 16] = bytes[8..24].try_into().ok()?;
            Some((Ipv6Addr::from(six).into(), port))
        }
        _ => None,
    }
}

/// A number that the kernel says of a socket.
fn number(context: &mut KernelContext, fd: usize, option: i32) -> Result<i32> {
    let mut bytes = [0; 4];
    option_of(context, fd, (libc::SOL_SOCKET, option), &mut bytes)?;
    Ok(i32::from_ne_bytes(bytes))
}

fn option_of(context: &mut KernelContext, fd: usize, (level, name): (i32, i32), to: &mut [u8]) -> Result<()> {
    let mut len = to.len() as libc::socklen_t;
    let (at, len) = (to.as_mut_ptr() as usize, &raw mut len as usize);
    context.call(libc::SYS_getsockopt, &args([fd, level as usize, name as usize, at, len])).map(drop)
}

/// Moves a socket to the host. False: it is of a kind, or in a state, in which an address is no destination of its own.
fn leave(context: &mut KernelContext, fd: usize) -> Result<bool> {
    let family = number(context, fd, libc::SO_DOMAIN)?;
    let kind = number(context, fd, libc::SO_TYPE)?;
    let is_of_ip = matches!(family, libc::AF_INET | libc::AF_INET6);
    if !is_of_ip
        || !matches!(kind, libc::SOCK_STREAM | libc::SOCK_DGRAM)
        || has_name(context, fd, libc::SYS_getpeername)
    {
        return Ok(false);
    }
    if has_name(context, fd, libc::SYS_getsockname) || joined::has(fd) {
        say_once!("net-host: a socket that is bound, or in an epoll set, cannot go to the host's network any more (ENETUNREACH)");
        return Err(Errno::ENETUNREACH);
    }
    let flags = context.call(libc::SYS_fcntl, &args([fd, libc::F_GETFL as usize]))?;
    // The host need not know MPTCP (--mptcp).
    let protocol = match number(context, fd, libc::SO_PROTOCOL)? {
        libc::IPPROTO_MPTCP => libc::IPPROTO_TCP,
        protocol => protocol,
    };
    let made = make(family, kind | (flags as i32 & libc::O_NONBLOCK), protocol)?;
    for (level, name, len) in OPTIONS {
        let mut value = [0; 16];
        if option_of(context, fd, (level, name), &mut value[..len]).is_ok() {
            set(&made, level, name, &value[..len]);
        }
    }
    fs::copy_onto(made.raw(), fd, fs::is_cloexec(fd as i32)?)?;
    fdtable::set(fd, HOST);
    let _ = context.call(libc::SYS_close, &args([fd]));
    Ok(true)
}

/// Whether a socket has an address with a port, of its own or of a peer.
fn has_name(context: &mut KernelContext, fd: usize, nr: i64) -> bool {
    let (mut bytes, mut len) = ([0u8; 28], 28 as libc::socklen_t);
    let told = context.call(nr, &args([fd, bytes.as_mut_ptr() as usize, &raw mut len as usize]));
    told.is_ok() && (nr == libc::SYS_getpeername || bytes[2..4] != [0, 0])
}

/// A socket of the host.
fn make(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    let kind = (kind | libc::SOCK_CLOEXEC) as usize;
    // SAFETY: a new descriptor, which is nobody else's.
    unsafe {
        let fd = host::call(libc::SYS_socket, &[family as usize, kind, protocol as usize])?;
        Ok(OwnedFd::from_raw(fd as i32))
    }
}

/// Sets an option; what the host does not take stays as it is.
fn set(socket: &OwnedFd, level: i32, name: i32, value: &[u8]) {
    let args = [socket.raw() as usize, level as usize, name as usize, value.as_ptr() as usize, value.len()];
    // SAFETY: reads the value.
    let _ = unsafe { host::call(libc::SYS_setsockopt, &args) };
}
