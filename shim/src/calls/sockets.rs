// SPDX-License-Identifier: GPL-2.0-only
//! Sockets: routed by family when they are made, by descriptor ever after.

use stowaway_config::Net;

use crate::calls::transfer::with_sigpipe;
use crate::calls::{net_host, passing, unix_names};
use crate::fdtable::{self, joined, Owner};
use crate::instance::enter::enter_kernel;
use crate::instance::pair::open_pair;
use crate::sys::call::Call;
use crate::sys::errno::Result;
use crate::sys::settings::settings;

/// Families that the kernel serves when it has a network: the addresses, and what configures them.
fn is_kernel_family(family: usize) -> bool {
    settings().is_active()
        && settings().net != Net::None
        && matches!(family as i32, libc::AF_INET | libc::AF_INET6 | libc::AF_PACKET | libc::AF_NETLINK)
}

/// The call as it is, in the kernel, where it opens a descriptor.
fn open_in_kernel(c: &Call<'_>, flags: usize) -> Result {
    let cloexec = flags & libc::SOCK_CLOEXEC as usize != 0;
    enter_kernel(|context| {
        open_pair(context, cloexec, |context, want| context.call_at(c.nr as i64, &c.args, want))
    })
}

/// socket(2)
pub fn socket(c: &Call<'_>) -> Result {
    if !is_kernel_family(c.args[0]) {
        return c.to_host();
    }
    let mut args = c.args;
    if settings().mptcp && is_tcp(&args) {
        args[2] = libc::IPPROTO_MPTCP as usize;
    }
    let made = open_in_kernel(&Call { args, ..*c }, args[1])?;
    joined::forget(made);
    Ok(made)
}

/// Whether a socket of TCP is asked for.
fn is_tcp(args: &[usize; 6]) -> bool {
    let [family, kind, protocol, ..] = args.map(|arg| arg as i32);
    matches!(family, libc::AF_INET | libc::AF_INET6)
        && kind & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) == libc::SOCK_STREAM
        && matches!(protocol, 0 | libc::IPPROTO_TCP)
}

/// Makes the call by `on_host` if the socket is the host's, else as it is in the kernel.
fn by_owner<'a>(c: &Call<'a>, on_host: impl FnOnce(&Call<'a>) -> Result) -> Result {
    match fdtable::owner(c.args[0])? {
        Owner::Host => on_host(c),
        Owner::Kernel => c.to_kernel(),
    }
}

/// bind(2)
pub fn bind(c: &Call<'_>) -> Result {
    by_owner(c, unix_names::bind)
}

/// connect(2)
pub fn connect(c: &Call<'_>) -> Result {
    match fdtable::owner(c.args[0])? {
        Owner::Host => unix_names::to_peer(c, [1, 2]),
        Owner::Kernel if net_host::takes(c.args[0], c.args[1], c.args[2])? => c.to_host(),
        Owner::Kernel => c.to_kernel(),
    }
}

/// getsockname(2), getpeername(2)
pub fn tell(c: &Call<'_>) -> Result {
    by_owner(c, |c| unix_names::tell(c, [1, 2]))
}

/// recvfrom(2)
pub fn recvfrom(c: &Call<'_>) -> Result {
    by_owner(c, |c| unix_names::tell(c, [4, 5]))
}

/// recvmsg(2)
pub fn recvmsg(c: &Call<'_>) -> Result {
    by_owner(c, |c| {
        let received = unix_names::receive_message(c)?;
        passing::received(c.args[1], c.args[2]);
        Ok(received)
    })
}

/// recvmmsg(2)
pub fn recvmmsg(c: &Call<'_>) -> Result {
    by_owner(c, |c| {
        let received = unix_names::receive_messages(c)?;
        for message in unix_names::messages(c).take(received) {
            passing::received(message, c.args[3]);
        }
        Ok(received)
    })
}

/// sendto(2)
pub fn sendto(c: &Call<'_>) -> Result {
    match fdtable::owner(c.args[0])? {
        Owner::Host => unix_names::to_peer(c, [4, 5]),
        Owner::Kernel if net_host::takes(c.args[0], c.args[4], c.args[5])? => c.to_host(),
        Owner::Kernel => with_sigpipe(c.to_kernel(), c.args[3]),
    }
}

/// accept(2) and accept4(2)
pub fn accept(c: &Call<'_>) -> Result {
    match fdtable::owner(c.args[0])? {
        Owner::Host => unix_names::tell(c, [1, 2]),
        Owner::Kernel if c.nr == libc::SYS_accept4 as usize => open_in_kernel(c, c.args[3]),
        Owner::Kernel => open_in_kernel(c, 0),
    }
}

/// sendmmsg(2): flags in argument 3.
pub fn sendmmsg(c: &Call<'_>) -> Result {
    match fdtable::owner(c.args[0])? {
        Owner::Host if unix_names::any_message(c, passing::carries) => {
            unix_names::one_by_one(c, send_on_host)
        }
        Owner::Host => unix_names::send_messages(c),
        Owner::Kernel if net_host::takes_any(c.args[0], unix_names::messages(c))? => c.to_host(),
        Owner::Kernel => with_sigpipe(c.to_kernel(), c.args[3]),
    }
}

/// sendmsg(2)
pub fn sendmsg(c: &Call<'_>) -> Result {
    match fdtable::owner(c.args[0])? {
        Owner::Host => send_on_host(c),
        Owner::Kernel if net_host::takes_any(c.args[0], [c.args[1]])? => c.to_host(),
        Owner::Kernel => with_sigpipe(c.to_kernel(), c.args[2]),
    }
}

fn send_on_host(c: &Call<'_>) -> Result {
    match passing::carries(c.args[1]) {
        true => passing::send(c),
        false => unix_names::send_message(c),
    }
}
