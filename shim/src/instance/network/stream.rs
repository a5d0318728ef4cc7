// SPDX-License-Identifier: GPL-2.0-only
//! A Unix socket that speaks QEMU's protocol (`-netdev stream`, passt).

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lkl::sys::{socket, OwnedFd};

use crate::sys::errno::{Errno, Explained};
use crate::sys::fs;
use crate::sys::sockaddr::UnixAddress;

/// How long a peer is waited for: somebody who looks at the terminal has given up by then.
const PATIENCE_MS: u32 = 60_000;

/// Connects to the socket at `path`, or listens there and takes the first peer.
pub fn open(path: &Path, listen: bool) -> Result<OwnedFd, String> {
    let shown = path.display();
    let bytes = path.as_os_str().as_bytes();
    let address =
        UnixAddress::of_path(bytes).map_err(|_| format!("the path {shown} is too long for a socket"))?;
    let made = socket::stream(libc::AF_UNIX).map_err(|e| format!("no socket: {}", Explained(e)))?;
    if !listen {
        let connected = socket::connect(made.raw(), address.bytes());
        return connected.map(|()| made).map_err(|e| format!("{shown}: {}", Explained(e)));
    }
    fs::listen(made.raw(), address.bytes(), 1).map_err(|e| match e {
        Errno::EADDRINUSE => format!("{shown} exists already (EADDRINUSE)"),
        e => format!("{shown}: {}", Explained(e)),
    })?;
    socket::set_timeouts(made.raw(), PATIENCE_MS);
    let peer = fs::accept(made.raw()).map_err(|e| match e {
        Errno::EAGAIN => format!("nobody connected to {shown} in a minute"),
        e => format!("{shown}: {}", Explained(e)),
    });
    // The path was for one peer.
    if let Ok(path) = std::ffi::CString::new(bytes) {
        let _ = fs::remove(&path);
    }
    peer
}
