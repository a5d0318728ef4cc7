// SPDX-License-Identifier: GPL-2.0-only
//! A server that belongs to a `stowaway run`. The command becomes the program, so the server is nobody's child, which the
//! program would have to wait for; it watches the process instead, by a pidfd that it was handed. What the program starts
//! and leaves running has a connection of its own (the library's `lifeline.rs`). The server ends when neither is left, and
//! not at a signal of the terminal: the program may need it for what it has not yet written.

use std::ffi::{CString, OsString};
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stowaway_config::{Config, Mount};

use super::exports::Exports;
use super::server::Server;
use super::{header, sys};
use crate::fail::{reason, Failure, EXIT_RUN};

/// Where private directories are made: the first of these that will do.
const PLACES: [&str; 2] = ["XDG_RUNTIME_DIR", "TMPDIR"];
const LAST_PLACE: &str = "/tmp";
/// struct sockaddr_un's path, with its NUL.
const SOCKET_PATH_MOST: usize = 108;
/// What a server says first when it is ready; the socket's path follows. Anything else is why it is not.
const IS_READY: u8 = b'=';

/// Starts a server for each qcow2 image among the mounts, which are its from then on.
pub fn serve_images(config: &mut Config) -> Result<(), Failure> {
    let files: Vec<Option<PathBuf>> = config.mounts.iter().map(qcow2_of).collect();
    for at in 0..files.len() {
        let Some(file) = &files[at] else { continue };
        let same = |other: &usize| files[*other].as_ref() == Some(file);
        let socket = match (0..at).find(same) {
            Some(earlier) => config.mounts[earlier].socket.clone(),
            None => {
                let read_only = (at..files.len()).filter(same).all(|other| config.mounts[other].read_only);
                let image = config.mounts[at].image.as_deref().unwrap_or(file);
                let failed = |why| Failure::new(EXIT_RUN, format!("{}: {why}", image.display()));
                Some(start(image, read_only).map_err(failed)?)
            }
        };
        config.mounts[at].socket = socket;
    }
    Ok(())
}

/// The file that the image of a mount is, if it has to be served.
fn qcow2_of(mount: &Mount) -> Option<PathBuf> {
    let image = mount.image.as_ref().filter(|_| mount.address().is_none())?;
    header::is_qcow2(image).then(|| std::fs::canonicalize(image).unwrap_or_else(|_| image.clone()))
}

/// Starts a server; its socket.
fn start(image: &Path, read_only: bool) -> Result<PathBuf, String> {
    let system = |error: io::Error| format!("its server cannot be started: {}", reason(&error));
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    let mut args = vec![
        own.unwrap_or_else(|| "/proc/self/exe".into()).into_os_string(),
        "serve".into(),
        "--owned".into(),
    ];
    args.extend(read_only.then(|| OsString::from("--read-only")));
    args.extend(["--".into(), image.into()]);
    let env = PLACES.iter().filter_map(|name| {
        let value = std::env::var_os(name)?;
        Some(OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat()))
    });
    let (args, env) = (strings(args).map_err(system)?, strings(env).map_err(system)?);
    let (said, ready) = sys::pipe().map_err(system)?;
    let owner = sys::own_pidfd().map_err(system)?;
    sys::start_detached(&args, &env, ready, owner).map_err(system)?;
    let mut answer = Vec::new();
    File::from(said).read_to_end(&mut answer).map_err(system)?;
    match answer.split_first() {
        Some((&IS_READY, path)) => Ok(PathBuf::from(OsString::from_vec(path.to_vec()))),
        Some(_) => Err(String::from_utf8_lossy(&answer).into_owned()),
        None => Err("its server ended without a message".into()),
    }
}

fn strings(texts: impl IntoIterator<Item = OsString>) -> io::Result<Vec<CString>> {
    texts.into_iter().map(|text| CString::new(text.into_vec()).map_err(io::Error::from)).collect()
}

/// The server's side.
pub(super) fn serve_owned(exports: Arc<Exports>, signals: OwnedFd) -> Result<i32, Failure> {
    let failed = |error: io::Error| Failure::new(EXIT_RUN, format!("serve --owned: {}", reason(&error)));
    let mut ready = File::from(sys::inherited(sys::READY).map_err(failed)?);
    let owner = sys::inherited(sys::OWNER).map_err(failed)?;
    let prepared = exports.try_out().map_err(|why| why.to_string()).and_then(|()| Room::make());
    let (room, listener) = match prepared {
        Ok(made) => made,
        Err(why) => {
            let _ = ready.write_all(why.as_bytes());
            return Ok(EXIT_RUN);
        }
    };
    let _ = std::env::set_current_dir("/");
    let answer = [&[IS_READY], room.socket().as_os_str().as_bytes()].concat();
    let server = Server::new(exports).map_err(failed)?;
    ready.write_all(&answer).map_err(failed)?;
    drop(ready);
    let ended = server.run(&listener, None, Some(owner));
    // Until here, where they would have been seen, signals were held back.
    drop(signals);
    ended.map(|()| 0).map_err(failed)
}

/// A directory that only we may enter, with the socket in it. Dropping it removes both.
struct Room(PathBuf);

impl Room {
    fn make() -> Result<(Room, UnixListener), String> {
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

    fn make_in(place: &Path) -> io::Result<(Room, UnixListener)> {
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
            let listener = UnixListener::bind(room.socket())?;
            return Ok((room, listener));
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn socket(&self) -> PathBuf {
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
        let (room, _listener) = Room::make_in(place.path()).unwrap();
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
