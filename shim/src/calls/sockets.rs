// SPDX-License-Identifier: GPL-2.0-only
//! Sockets: routed by family when they are made, by descriptor ever after.
#![allow(unsafe_code)]

use stowaway_config::Net;

use crate::calls::descriptors::open_same;
use crate::calls::transfer::broken_pipe;
use crate::calls::Call;
use crate::fdtable::{self, EPOLL_EMPTY, HOST, KERNEL};
use crate::instance::enter::section;
use crate::sys::errno::EINVAL;
use crate::sys::host::Ret;
use crate::sys::report::say_once;
use crate::sys::settings::settings;
use crate::sys::user;

/// Families that the kernel serves when it has a network: the addresses, and what configures them.
fn is_kernel_family(family: usize) -> bool {
    settings().is_active()
        && settings().net != Net::None
        && matches!(family as i32, libc::AF_INET | libc::AF_INET6 | libc::AF_PACKET | libc::AF_NETLINK)
}

/// socket(2)
pub fn socket(c: &Call<'_>) -> Ret {
    if !is_kernel_family(c.args[0]) {
        return c.to_host();
    }
    let cloexec = c.args[1] & libc::SOCK_CLOEXEC as usize != 0;
    section(|door| open_same(door, cloexec, |door, want| door.call_at(c.nr as i64, &c.args, want)))
}

/// accept(2) and accept4(2)
pub fn accept(c: &Call<'_>) -> Ret {
    match fdtable::class(c.args[0]) {
        HOST | EPOLL_EMPTY => c.to_host(),
        KERNEL => {
            let flags = if c.nr == libc::SYS_accept4 as usize { c.args[3] } else { 0 };
            let cloexec = flags & libc::SOCK_CLOEXEC as usize != 0;
            section(|door| open_same(door, cloexec, |door, want| door.call_at(c.nr as i64, &c.args, want)))
        }
        other => fdtable::refuse(other),
    }
}

/// sendto(2), sendmmsg(2): flags in argument 3.
pub fn send(c: &Call<'_>) -> Ret {
    match fdtable::class(c.args[0]) {
        HOST | EPOLL_EMPTY => c.to_host(),
        KERNEL => broken_pipe(c.to_kernel(), c.args[3]),
        other => fdtable::refuse(other),
    }
}

/// sendmsg(2): a kernel file cannot be passed over a host socket.
pub fn sendmsg(c: &Call<'_>) -> Ret {
    match fdtable::class(c.args[0]) {
        KERNEL => broken_pipe(c.to_kernel(), c.args[2]),
        HOST if fdtable::any_kernel() => match passes_kernel_file(c.args[1]) {
            Ok(true) => {
                say_once!("sendmsg: a file in a mount cannot be passed to another process (EINVAL)");
                EINVAL
            }
            Ok(false) | Err(_) => c.to_host(),
        },
        HOST | EPOLL_EMPTY => c.to_host(),
        other => fdtable::refuse(other),
    }
}

/// Whether a msghdr at `address` carries a kernel descriptor in SCM_RIGHTS. Err: the host will say why.
fn passes_kernel_file(address: usize) -> Result<bool, Ret> {
    let message: libc::msghdr = user::read(address)?;
    let (mut at, end) = (message.msg_control as usize, message.msg_control as usize + message.msg_controllen);
    let head = size_of::<libc::cmsghdr>();
    while at + head <= end {
        let control: libc::cmsghdr = user::read(at)?;
        if control.cmsg_len < head || at + control.cmsg_len > end {
            return Ok(false);
        }
        if control.cmsg_level == libc::SOL_SOCKET && control.cmsg_type == libc::SCM_RIGHTS {
            for i in 0..(control.cmsg_len - head) / 4 {
                let number: i32 = user::read(at + head + i * 4)?;
                if fdtable::class(number as usize) == KERNEL {
                    return Ok(true);
                }
            }
        }
        at += control.cmsg_len.next_multiple_of(8);
    }
    Ok(false)
}
