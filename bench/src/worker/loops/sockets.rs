// SPDX-License-Identifier: GPL-2.0-only
//! A TCP connection of a process with itself, over lo.

use anyhow::Result;

use super::syscalls::Syscalls;

/// Both ends, without Nagle's delay.
pub fn connected(kernel: &impl Syscalls) -> Result<[usize; 2]> {
    let socket = || {
        let args = [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0];
        kernel.must("socket", libc::SYS_socket, args)
    };
    let (listener, from) = (socket()?, socket()?);
    // Any port of 127.0.0.1.
    let mut address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    let (at, mut length) = (&raw mut address as usize, size_of::<libc::sockaddr_in>() as u32);
    kernel.must("bind", libc::SYS_bind, [listener, at, length as usize, 0, 0, 0])?;
    kernel.must("listen", libc::SYS_listen, [listener, 1, 0, 0, 0, 0])?;
    let name = [listener, at, &raw mut length as usize, 0, 0, 0];
    kernel.must("getsockname", libc::SYS_getsockname, name)?;
    kernel.must("connect", libc::SYS_connect, [from, at, length as usize, 0, 0, 0])?;
    let to = kernel.must("accept", libc::SYS_accept, [listener, 0, 0, 0, 0, 0])?;
    kernel.must("close", libc::SYS_close, [listener, 0, 0, 0, 0, 0])?;
    for fd in [from, to] {
        let (level, option, on) = (libc::IPPROTO_TCP as usize, libc::TCP_NODELAY as usize, 1i32);
        let args = [fd, level, option, &raw const on as usize, size_of::<i32>(), 0];
        kernel.must("setsockopt", libc::SYS_setsockopt, args)?;
    }
    Ok([from, to])
}
