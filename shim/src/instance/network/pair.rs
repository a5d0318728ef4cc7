// SPDX-License-Identifier: GPL-2.0-only
//! A link between two instances with one path: who comes first listens there, and the other connects. When one of the two has gone,
//! the other begins again: it connects if somebody listens, and listens if not.
//!
//! Both may begin at a time. The directory of the path is locked while one of them looks whether somebody listens, takes a dead socket
//! away, and listens itself.
#![allow(unsafe_code)]

use core::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lkl::sys::{file, socket, OwnedFd};
use lkl::Renewed;

use super::switch::connect;
use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::fs;
use crate::sys::sockaddr::UnixAddress;

/// Others that connect meanwhile find it full, and try again.
const BACKLOG: usize = 1;
/// How often the lock of the directory is tried at the start, and the pauses between, ns.
const TRIES: (usize, u32) = (200, 10_000_000);

/// Opens the link. True: it is a socket that waits for the other.
pub fn open(path: &Path) -> core::result::Result<(OwnedFd, bool), String> {
    let shown = path.display();
    for _ in 0..TRIES.0 {
        match begin(path) {
            Ok(Renewed::Connected(fd)) => return Ok((fd, false)),
            Ok(Renewed::Listening(fd)) => return Ok((fd, true)),
            Ok(Renewed::NotYet) => lkl::sys::process::sleep_ns(TRIES.1),
            Err(Errno::ENAMETOOLONG) => return Err(format!("the path {shown} is too long for a socket")),
            Err(Errno::EADDRINUSE) => return Err(format!("{shown} exists, and is no socket (EADDRINUSE)")),
            Err(e) => return Err(format!("{shown}: {}", Explained(e))),
        }
    }
    Err(format!("{shown}: the directory stays locked, or who listens there takes no connection"))
}

/// What there is in place of the link; `listener`: the socket that waits for the other. Nothing is allocated.
pub fn renew(path: &Path, listener: Option<i32>) -> Renewed {
    match listener {
        None => begin(path).unwrap_or(Renewed::NotYet),
        Some(listener) => accept(path, listener),
    }
}

/// Connects, or listens.
fn begin(path: &Path) -> Result<Renewed> {
    let address = UnixAddress::of_path(path.as_os_str().as_bytes())?;
    let directory = open_parent(path)?;
    if file::flock(directory.raw(), libc::LOCK_EX | libc::LOCK_NB) == Err(Errno::EAGAIN) {
        return Ok(Renewed::NotYet);
    }
    match connect(path) {
        Ok(peer) => return Ok(Renewed::Connected(peer)),
        Err(Errno::ENOENT) => {}
        Err(Errno::ECONNREFUSED) => remove(&address)?,
        Err(Errno::EAGAIN) => return Ok(Renewed::NotYet),
        Err(e) => return Err(e),
    }
    let made = socket::stream(libc::AF_UNIX)?;
    fs::listen(made.raw(), address.bytes(), BACKLOG)?;
    Ok(Renewed::Listening(made))
}

/// Takes the other. The path was for one.
fn accept(path: &Path, listener: i32) -> Renewed {
    let Ok(address) = UnixAddress::of_path(path.as_os_str().as_bytes()) else { return Renewed::NotYet };
    socket::set_timeouts(listener, 1);
    match fs::accept(listener) {
        Ok(peer) => {
            let _ = remove(&address);
            // Who has connected since begins again.
            socket::shutdown(listener, libc::SHUT_RDWR);
            while fs::accept(listener).is_ok() {}
            Renewed::Connected(peer)
        }
        // Somebody has removed the path: nobody can find this side any more.
        Err(_) if !exists(&address) => begin(path).unwrap_or(Renewed::NotYet),
        Err(_) => Renewed::NotYet,
    }
}

/// Nobody waits at the path any more.
pub fn give_up(path: &Path) {
    if let Ok(address) = UnixAddress::of_path(path.as_os_str().as_bytes()) {
        let _ = remove(&address);
    }
}

fn text(address: &UnixAddress) -> Option<&CStr> {
    CStr::from_bytes_until_nul(address.bytes().get(2..)?).ok()
}

fn exists(address: &UnixAddress) -> bool {
    text(address).is_some_and(|path| file::stat(path).is_ok())
}

/// Removes a socket; a file of another kind stays, and is in the way.
fn remove(address: &UnixAddress) -> Result<()> {
    let path = text(address).ok_or(Errno::EINVAL)?;
    if file::stat(path)?.st_mode & libc::S_IFMT != libc::S_IFSOCK {
        return Err(Errno::EADDRINUSE);
    }
    fs::remove(path)
}

/// The directory that the path is in.
fn open_parent(path: &Path) -> Result<OwnedFd> {
    let parent = path.parent().unwrap_or(Path::new("/")).as_os_str().as_bytes();
    let mut text = [0; 109];
    let room = text.get_mut(..parent.len()).filter(|room| room.len() < 109).ok_or(Errno::ENAMETOOLONG)?;
    room.copy_from_slice(parent);
    let path = CStr::from_bytes_until_nul(&text).map_err(|_| Errno::ENAMETOOLONG)?;
    file::open(path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC)
}
