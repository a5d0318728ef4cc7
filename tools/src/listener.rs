// SPDX-License-Identifier: GPL-2.0-only
//! A listening Unix socket at a path: in place of one that nobody listens at any more, and never one of somebody who does.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{flock, FlockOperation};

/// A listening socket, whose path goes with it.
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the path.
    is: (u64, u64),
}

/// Listens at `path`.
///
/// Two who start at a time must not both find the old socket dead, and the second remove the new one of the first: the
/// directory is locked meanwhile. The socket gets its name when it already listens, so whoever sees the name can connect.
pub fn listen(path: &Path) -> io::Result<Listener> {
    let (parent, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => (Path::new("."), name),
        (Some(parent), Some(name)) => (parent, name),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    // The limit of those who connect.
    std::os::unix::net::SocketAddr::from_pathname(path)?;
    let directory = File::open(parent)?;
    // Where locks cannot be had, there is none.
    let _ = flock(&directory, FlockOperation::LockExclusive);
    require_unused(path)?;
    // A path that is short, however long the directory's is.
    let at = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    let new = at.join(format!(".stowaway-{}", std::process::id()));
    let _ = std::fs::remove_file(&new);
    let socket = UnixListener::bind(&new)?;
    let named = std::fs::symlink_metadata(&new).and_then(|about| {
        std::fs::rename(&new, at.join(name))?;
        Ok((about.dev(), about.ino()))
    });
    let is = named.inspect_err(|_| drop(std::fs::remove_file(&new)))?;
    Ok(Listener { socket, path: std::path::absolute(path)?, is })
}

/// EADDRINUSE: somebody listens there, or there is a file of another kind.
fn require_unused(path: &Path) -> io::Result<()> {
    let about = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about?,
    };
    let is_dead = about.file_type().is_socket()
        && matches!(UnixStream::connect(path), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
    if is_dead {
        Ok(())
    } else {
        Err(io::ErrorKind::AddrInUse.into())
    }
}

impl Listener {
    /// The socket.
    pub fn socket(&self) -> &UnixListener {
        &self.socket
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let is_ours =
            std::fs::symlink_metadata(&self.path).is_ok_and(|about| (about.dev(), about.ino()) == self.is);
        if is_ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let first = listen(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        assert_eq!(listen(&path).err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        drop(first);
        assert!(!path.exists());
        std::fs::write(&path, "text").unwrap();
        assert_eq!(listen(&path).err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn of_many_that_start_at_a_time_one_listens() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let all: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || listen(&path).ok())
            })
            .collect();
        let listening: Vec<Listener> = all.into_iter().filter_map(|one| one.join().unwrap()).collect();
        assert_eq!(listening.len(), 1);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_another_has_put_there_is_not_removed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        let first = listen(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = listen(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
        assert!(!path.exists());
    }
}
