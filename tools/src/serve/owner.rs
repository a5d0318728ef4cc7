// SPDX-License-Identifier: GPL-2.0-only
//! A server that belongs to a `stowaway run`. The command becomes the program, so the server is nobody's child, which the
//! program would have to wait for; it watches the process instead, by a pidfd that it was handed. What the program starts
//! and leaves running has a connection of its own (the library's `lifeline.rs`). The server ends when neither is left, and
//! not at a signal of the terminal: the program may need it for what it has not yet written.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stowaway_config::{Config, Mount};

use super::exports::Exports;
use super::formats;
use super::formats::Made;
use super::room::{Room, PLACES};
use super::server::Server;
use crate::fail::{reason, Failure, EXIT_RUN};
use crate::sys;

/// What a server says first when it is ready; the socket's path follows. Anything else is why it is not.
const IS_READY: u8 = b'=';

/// Starts a server for each image among the mounts that is no plain disk; they are its from then on. What can only be read is
/// mounted read-only.
pub fn serve_images(config: &mut Config) -> Result<(), Failure> {
    let on_host = |at: &usize| config.holder(*at).is_none();
    let file = |at: usize| Some(at).filter(on_host).and_then(|at| served(&config.mounts[at]));
    let files: Vec<Option<(PathBuf, Made)>> = (0..config.mounts.len()).map(file).collect();
    for (mount, file) in config.mounts.iter_mut().zip(&files) {
        mount.read_only |= file.as_ref().is_some_and(|(_, made)| made.is_read_only());
    }
    for at in 0..files.len() {
        let Some((file, made)) = &files[at] else { continue };
        let same = |other: &usize| files[*other].as_ref().is_some_and(|(other, _)| other == file);
        let socket = match (0..at).find(same) {
            Some(earlier) => config.mounts[earlier].socket.clone(),
            None => {
                let read_only = (at..files.len()).filter(same).all(|other| config.mounts[other].read_only);
                let image = config.mounts[at].image.as_deref().unwrap_or(file);
                let failed = |why| Failure::new(EXIT_RUN, format!("{}: {why}", image.display()));
                let socket = start(image, read_only).map_err(failed)?;
                say_who(image, *made, read_only);
                Some(socket)
            }
        };
        config.mounts[at].socket = socket;
    }
    Ok(())
}

/// The file that the image of a mount is, and how it is made, if it has to be served.
fn served(mount: &Mount) -> Option<(PathBuf, Made)> {
    let image = mount.image.as_ref().filter(|_| !mount.is_a_servers())?;
    let made = formats::at(image).filter(|made| made.is_served())?;
    Some((std::fs::canonicalize(image).unwrap_or_else(|_| image.clone()), made))
}

/// Says who reads an image, where that is not this program's own reader of qcow2, which needs no word.
fn say_who(image: &Path, made: Made, read_only: bool) {
    let how = if read_only { "read-only" } else { "read and written" };
    match made {
        Made::Qemu { name, .. } => {
            let name = formats::for_people(name);
            eprintln!("stowaway: {}: {name}, {how} by qemu-nbd", image.display());
        }
        Made::Packed(packing) => {
            eprintln!("stowaway: {}: packed with {}, read-only", image.display(), packing.name());
        }
        Made::Qcow2 | Made::Plain => {}
    }
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
    let env = PLACES.iter().chain(&["PATH"]).filter_map(|name| {
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
    let prepared = exports.try_out().map_err(|why| why.to_string()).and_then(|()| {
        let room = Room::make()?;
        let listener = UnixListener::bind(room.socket()).map_err(|error| reason(&error))?;
        Ok((room, listener))
    });
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
