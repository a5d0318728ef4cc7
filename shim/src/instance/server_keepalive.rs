// SPDX-License-Identifier: GPL-2.0-only
//! A server that `stowaway run` started for an image lives as long as somebody could need it. So each process that
//! has the mount holds a connection on which nothing is said, from its first instruction on. Children of fork share
//! their parent's connection, and the kernel closes it whatever a process ends of.

use std::os::unix::ffi::OsStrExt;

use crate::fdtable::{self, Keep};
use crate::sys::fs;
use crate::sys::settings::settings;
use crate::sys::sockaddr::UnixAddress;

/// Connects to each server. One that is not there is reported by the first call that needs its disk.
pub fn connect_all() {
    let mut sockets: Vec<_> = settings().mounts.iter().filter_map(|mount| mount.socket.as_ref()).collect();
    sockets.sort_unstable();
    sockets.dedup();
    for path in sockets {
        let _ = connect(path.as_os_str().as_bytes());
    }
}

/// Connects for the life of the process. None: there is no such server, or no number for the descriptor.
fn connect(path: &[u8]) -> Option<i32> {
    let address = UnixAddress::of_path(path).ok()?;
    let socket = fs::unix_socket(libc::SOCK_STREAM).ok()?;
    fs::connect(socket.raw(), address.bytes()).ok()?;
    fdtable::reserve(socket.raw(), Keep::OverFork).ok()
}
