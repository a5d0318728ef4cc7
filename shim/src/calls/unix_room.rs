// SPDX-License-Identifier: GPL-2.0-only
//! The names on the host behind AF_UNIX sockets of mounts: a directory of the user, `/tmp/.stowaway-UID`.
//!
//! - `IMAGE-FILE.PID.N` is a socket. The host tells this name as long as the socket lives, so no other ever has it.
//! - `IMAGE-FILE.PID.N.n` is a symlink to the program's own name for the socket.
//! - `IMAGE-FILE` is a symlink to the socket behind a file of an image. It goes with the file; the two others stay, for
//!   getsockname and its kin, until a process finds that nobody has the socket any more.

use core::ffi::CStr;
use core::fmt::Write;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::os::unix::ffi::OsStrExt;

use stowaway_config::Mount;

use crate::calls::devices;
use crate::lookup::route::Located;
use crate::sys::decimal;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::hash::{fnv1a, EMPTY};
use crate::sys::host;
use crate::sys::settings::settings;
use crate::sys::sockaddr::UnixAddress;

const BEGIN: &[u8] = b"/tmp/.stowaway-";

/// A short path, written where nothing may be allocated; NUL-ended.
pub struct ShortPath {
    text: [u8; 100],
    len: usize,
}

impl ShortPath {
    fn new(text: core::fmt::Arguments<'_>) -> ShortPath {
        let mut path = ShortPath { text: [0; 100], len: 0 };
        let _ = path.write_fmt(text);
        path
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.text).unwrap_or(c"")
    }
}

impl Write for ShortPath {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let end = self.len + s.len();
        // One byte is kept for the NUL.
        let room = self.text[..99].get_mut(self.len..end).ok_or(core::fmt::Error)?;
        room.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// What tells one socket file of an image from all others: the image, and the file's number in it.
pub struct Key {
    image: u64,
    file: u64,
}

impl Key {
    /// The key of the file that was found there.
    pub fn new(located: &Located, file: &libc::stat) -> Key {
        /// A directory of a file system has the inodes of the file system.
        fn part_of(mount: &Mount) -> [u64; 2] {
            [u64::from(mount.part.partition.unwrap_or(0)), mount.part.offset]
        }
        let index = located.mount().or_else(|| devices::place(file.st_dev as usize));
        let mount = index.and_then(|index| settings().mounts.get(index));
        let begin = fnv1a(EMPTY, &mount.map_or([0; 2], part_of).map(u64::to_le_bytes).concat());
        let image = match mount.and_then(|mount| mount.image.as_ref()) {
            Some(image) => fnv1a(begin, image.as_os_str().as_bytes()),
            // What is in memory is this process's alone.
            None => {
                fnv1a(fnv1a(begin, mount.map_or(b"", |mount| &mount.path[..])), &host::pid().to_le_bytes())
            }
        };
        Key { image, file: file.st_ino }
    }
}

/// The directory of the user.
pub struct Room {
    user: u32,
}

impl Room {
    /// Makes the directory if need be. EACCES: somebody else has that name.
    pub fn open() -> Result<Room> {
        let room = Room { user: host::effective_user() };
        match fs::make_private_directory(room.directory().as_c_str(), room.user)? {
            true => Ok(room),
            false => Err(Errno::EACCES),
        }
    }

    fn directory(&self) -> ShortPath {
        ShortPath::new(format_args!("/tmp/.stowaway-{}", self.user))
    }

    /// The socket's name on the host.
    pub fn path(&self, key: &Key) -> ShortPath {
        ShortPath::new(format_args!("/tmp/.stowaway-{}/{:016x}-{:x}", self.user, key.image, key.file))
    }

    /// Takes a name of its own for the socket behind a file that was just made, and writes down how the program calls it.
    pub fn reserve(&self, key: &Key, name: &UnixAddress) -> Result<SocketPath> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        /// A process that had the same number may have left names.
        const TRIES: usize = 1000;
        self.forget(key);
        for _ in 0..TRIES {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let link = self.path(key);
            let text = core::str::from_utf8(link.as_bytes()).unwrap_or_default();
            let place = SocketPath(ShortPath::new(format_args!("{text}.{}.{n}", host::pid())));
            match fs::make_symlink(name.path(), place.label().as_c_str()) {
                Ok(()) => {
                    return fs::make_symlink(fs::address(place.0.as_c_str()), link.as_c_str()).map(|()| place)
                }
                Err(Errno::EEXIST) => {}
                Err(e) => return Err(e),
            }
        }
        Err(Errno::EADDRINUSE)
    }

    /// The file of the image is no more: nobody finds its socket.
    pub fn forget(&self, key: &Key) {
        let _ = fs::remove(self.path(key).as_c_str());
    }

    /// Removes the names of sockets that nobody has, if the process that bound them has ended. `ours`: this process's as
    /// well.
    pub fn sweep(&self, ours: bool) {
        let directory = self.directory();
        let Ok(probe) = fs::unix_socket(libc::SOCK_DGRAM) else { return };
        let _ = fs::for_each_name(directory.as_c_str(), |name| {
            if let Some((socket, pid)) = bound(name) {
                let is_there = if pid == host::pid() { !ours } else { host::is_there(pid as i32, false) };
                let place = SocketPath(ShortPath::new(format_args!(
                    "/tmp/.stowaway-{}/{}",
                    self.user,
                    core::str::from_utf8(socket).unwrap_or_default()
                )));
                if !is_there && !place.is_in_use(probe.raw()) {
                    place.remove();
                }
            }
            true
        });
    }

    /// How the program calls the socket with this name on the host, if the name is one of ours.
    pub fn name_behind(path: &[u8]) -> Option<UnixAddress> {
        let text = core::str::from_utf8(path).ok().filter(|_| path.starts_with(BEGIN))?;
        let label = ShortPath::new(format_args!("{text}.n"));
        let mut name = [0; 108];
        match fs::read_link_at(AT_FDCWD, fs::address(label.as_c_str()), &mut name) {
            Ok(n) => UnixAddress::told(&name[..n]).ok(),
            // The name was swept away: the program never sees ours.
            Err(_) => bound_path(path).then(UnixAddress::unnamed),
        }
    }
}

/// The socket and the process of a name `IMAGE-FILE.PID.N.n`.
fn bound(name: &[u8]) -> Option<(&[u8], usize)> {
    let socket = name.strip_suffix(b".n")?;
    let mut words = socket.split(|&byte| byte == b'.').skip(1);
    let pid = decimal::parse(words.next()?)?;
    decimal::parse(words.next()?)?;
    words.next().is_none().then_some((socket, pid))
}

/// Whether a path is that of a socket of ours: a name below `/tmp/.stowaway-UID` with a process and a number.
fn bound_path(path: &[u8]) -> bool {
    let mut words = path[BEGIN.len()..].rsplit(|&byte| byte == b'.');
    let numbers = [words.next(), words.next()];
    path[BEGIN.len()..].contains(&b'/') && numbers.iter().all(|word| word.and_then(decimal::parse).is_some())
}

/// The name on the host of one socket.
pub struct SocketPath(ShortPath);

impl SocketPath {
    /// The address to bind the socket to.
    pub fn address(&self) -> Result<UnixAddress> {
        UnixAddress::of_path(self.0.as_bytes())
    }

    fn label(&self) -> ShortPath {
        ShortPath::new(format_args!("{}.n", core::str::from_utf8(self.0.as_bytes()).unwrap_or_default()))
    }

    /// Whether a process has the socket. `probe`: a datagram socket, whose connect(2) is seen by nobody.
    fn is_in_use(&self, probe: i32) -> bool {
        let Ok(address) = self.address() else { return false };
        !matches!(fs::connect(probe, address.bytes()), Err(Errno::ECONNREFUSED | Errno::ENOENT))
    }

    /// Removes the socket's names.
    pub fn remove(&self) {
        let text = core::str::from_utf8(self.0.as_bytes()).unwrap_or_default();
        // IMAGE-FILE, unless another socket is behind the file by now.
        let link = text.rsplitn(3, '.').last().map(|link| ShortPath::new(format_args!("{link}")));
        let mut target = [0; 100];
        if let Some(link) = link {
            let led = fs::read_link_at(AT_FDCWD, fs::address(link.as_c_str()), &mut target);
            if led.is_ok_and(|n| target[..n] == *self.0.as_bytes()) {
                let _ = fs::remove(link.as_c_str());
            }
        }
        let _ = fs::remove(self.0.as_c_str());
        // The label last: it is what the names are found by.
        let _ = fs::remove(self.label().as_c_str());
    }
}
