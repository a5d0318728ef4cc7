// SPDX-License-Identifier: GPL-2.0-only
//! A server that `stowaway run` started for an image lives as long as somebody could need it. So each process that
//! has the mount holds a connection on which nothing is said, from its first instruction on; children of fork share
//! their parent's, and the kernel closes it whatever a process ends of.

use std::os::unix::ffi::OsStrExt;

use once_cell::sync::OnceCell;

use crate::fdtable;
use crate::sys::host;
use crate::sys::settings::settings;

/// struct sockaddr_un
const PATH_AT: usize = 2;
const ADDRESS_BYTES: usize = 110;

static HELD: OnceCell<Vec<i32>> = OnceCell::new();

/// Connects to each server. One that is not there is reported by the first call that needs its disk.
pub fn hold() {
    let mut sockets: Vec<_> = settings().mounts.iter().filter_map(|mount| mount.socket.as_ref()).collect();
    if sockets.is_empty() {
        return;
    }
    sockets.sort_unstable();
    sockets.dedup();
    let held = sockets.into_iter().filter_map(|path| connect(path.as_os_str().as_bytes())).collect();
    let _ = HELD.set(held);
}

/// Whether the descriptor is of use in a child of fork, too.
pub fn is_kept(fd: usize) -> bool {
    HELD.get().is_some_and(|held| held.contains(&(fd as i32)))
}

fn connect(path: &[u8]) -> Option<i32> {
    let mut address = [0u8; ADDRESS_BYTES];
    address[..PATH_AT].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
    // one NUL stays behind it
    address[PATH_AT..ADDRESS_BYTES - 1].get_mut(..path.len())?.copy_from_slice(path);
    let kind = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as usize;
    let low = host::call(libc::SYS_socket, &[libc::AF_UNIX as usize, kind, 0]);
    if low < 0 {
        return None;
    }
    let done = host::call(libc::SYS_connect, &[low as usize, address.as_ptr() as usize, ADDRESS_BYTES]);
    let held = if done == 0 { fdtable::reserve_copy(low as i32) } else { -1 };
    host::close(low as i32);
    (held >= 0).then_some(held)
}
