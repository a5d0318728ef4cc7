// SPDX-License-Identifier: GPL-2.0-only
//! The names on the host behind AF_UNIX sockets of mounts: a directory of the user, `/tmp/.stowaway-UID`.

use core::ffi::CStr;
use core::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use stowaway_config::Mount;

use crate::calls::devices;
use crate::lookup::route::Located;
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

    fn label(&self, key: &Key) -> ShortPath {
        ShortPath::new(format_args!("/tmp/.stowaway-{}/{:016x}-{:x}.n", self.user, key.image, key.file))
    }

    /// Writes down how the program calls the socket.
    pub fn remember(&self, key: &Key, name: &UnixAddress) -> Result<()> {
        fs::make_symlink(name.path(), self.label(key).as_c_str())
    }

    /// The socket's name on the host is no longer of use.
    pub fn forget(&self, key: &Key) {
        let _ = fs::remove(self.path(key).as_c_str());
        let _ = fs::remove(self.label(key).as_c_str());
    }

    /// How the program calls the socket with this name on the host, if the name is one of ours.
    pub fn name_behind(path: &[u8]) -> Option<UnixAddress> {
        let text = core::str::from_utf8(path).ok().filter(|_| path.starts_with(BEGIN))?;
        let label = ShortPath::new(format_args!("{text}.n"));
        let mut name = [0; 108];
        let n = fs::read_link_at(AT_FDCWD, fs::address(label.as_c_str()), &mut name).ok()?;
        UnixAddress::told(&name[..n]).ok()
    }
}
