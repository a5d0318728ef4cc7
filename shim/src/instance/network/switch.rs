// SPDX-License-Identifier: GPL-2.0-only
//! A `stowaway switch`, which speaks QEMU's protocol, or what is in its place.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lkl::sys::{socket, OwnedFd};
use lkl::Renewed;

use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::sockaddr::UnixAddress;

/// A switch that has no time to take a connection has some soon, ms.
const PATIENCE_MS: u32 = 200;

/// Connects to the switch.
pub fn open(path: &Path) -> core::result::Result<OwnedFd, String> {
    let shown = path.display();
    connect(path).map_err(|e| match e {
        Errno::ENAMETOOLONG => format!("the path {shown} is too long for a socket"),
        Errno::ENOENT => {
            format!("there is no switch at {shown} (ENOENT); start one: stowaway switch {shown} &")
        }
        Errno::ECONNREFUSED => {
            format!(
                "there is no switch at {shown} any more (ECONNREFUSED); start one: stowaway switch {shown} &"
            )
        }
        e => format!("{shown}: {}", Explained(e)),
    })
}

/// The same, when the switch was there before.
pub fn renew(path: &Path) -> Renewed {
    connect(path).map_or(Renewed::NotYet, Renewed::Connected)
}

/// A connection to whoever listens at the path. Nothing is allocated: this runs on small stacks, too.
pub fn connect(path: &Path) -> Result<OwnedFd> {
    let address = UnixAddress::of_path(path.as_os_str().as_bytes())?;
    let made = socket::stream(libc::AF_UNIX)?;
    socket::set_timeouts(made.raw(), PATIENCE_MS);
    socket::connect(made.raw(), address.bytes())?;
    Ok(made)
}
