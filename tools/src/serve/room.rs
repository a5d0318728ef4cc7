// SPDX-License-Identifier: GPL-2.0-only
//! A directory that only we may enter, for a socket.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::fail::reason;

/// Where private directories are made: the first of these that will do.
pub const PLACES: [&str; 2] = ["XDG_RUNTIME_DIR", "TMPDIR"];
const LAST_PLACE: &str = "/tmp";
/// struct sockaddr_un's path, with its NUL.
const SOCKET_PATH_MOST: usize = 108;

/// A directory that only we may enter, with the socket in it. Dropping it removes both.
pub struct Room(PathBuf);

impl Room {
    pub fn make() -> Result<Room, String> {
        let places = PLACES.iter().filter_map(std::env::var_os).map(PathBuf::from);
        let mut why = String::new();
        for place in places.chain([PathBuf::from(LAST_PLACE)]) {
            match Room::make_in(&place) {
                Ok(made) => return Ok(made),
                Err(error) => why = format!("no socket in {}: {}", place.display(), reason(&error)),
            }
        }
        Err(why)
    }

    fn make_in(place: &Path) -> io::Result<Room> {
        let meta = std::fs::metadata(place)?;
        let trusted = meta.uid() == 0 || meta.uid() == crate::host::effective_ids().0;
        if !place.is_absolute() || !trusted {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let pid = std::process::id();
        for number in 0..100 {
            let path = place.join(format!("stowaway-{pid}-{number}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                done => done?,
            }
            let room = Room(path);
            if room.socket().as_os_str().len() >= SOCKET_PATH_MOST {
                return Err(io::Error::other("the path is too long"));
            }
            return Ok(room);
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The path of the socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join("nbd")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_private_and_goes() {
        let place = tempfile::tempdir().unwrap();
        let room = Room::make_in(place.path()).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(room.socket()).unwrap();
        let meta = std::fs::metadata(&room.0).unwrap();
        assert_eq!(meta.mode() & 0o777, 0o700);
        assert!(room.socket().exists());
        drop(room);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
        let long = place.path().join("x".repeat(100));
        std::fs::create_dir(&long).unwrap();
        assert!(Room::make_in(&long).is_err());
        assert_eq!(std::fs::read_dir(&long).unwrap().count(), 0);
    }
}
