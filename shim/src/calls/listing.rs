// SPDX-License-Identifier: GPL-2.0-only
//! Directories of the host as the application reads them: descriptors of ours are not open to the application, so
//! /proc/self/fd and /proc/self/fdinfo do not list them; and a mount is listed though the host has nothing at its path.

use crate::fdtable::{self, Owner, RESERVED};
use crate::lookup::{magic_links, mount_points};
use crate::sys::call::{args, Call};
use crate::sys::decimal;
use crate::sys::errno::Result;
use crate::sys::{fs, user};

/// Where the length, the type and the name of an entry stand (getdents64(2)).
const LENGTH: usize = 16;
const TYPE: usize = 18;
const NAME: usize = 19;
/// More than the longest entry has.
const LONGEST: usize = 512;

/// getdents64(2)
pub fn getdents(c: &Call<'_>) -> Result {
    if fdtable::owner(c.args[0])? == Owner::Kernel {
        return c.to_kernel();
    }
    let [dir, buffer, room, ..] = c.args;
    if mount_points::any() {
        let ours = list_mounts(dir as i32, buffer, room)?;
        if ours > 0 {
            match read_host(c, buffer + ours, room - ours) {
                Ok(0) => return Ok(0),
                Ok(len) => return Ok(ours + len),
                // No room for both.
                Err(_) => {}
            }
        }
    }
    read_host(c, buffer, room)
}

/// What the host lists, without what is ours.
fn read_host(c: &Call<'_>, buffer: usize, room: usize) -> Result {
    loop {
        let len = c.to_host_with(&args([c.args[0], buffer, room]))?;
        if len == 0 || !fdtable::any_reserved() {
            return Ok(len);
        }
        match without_ours(c.args[0] as i32, buffer, len)? {
            // All were ours: more may follow.
            0 => {}
            left => return Ok(left),
        }
    }
}

/// Begins a listing with the mounts in the directory that the host does not know of; how many bytes they take.
fn list_mounts(dir: i32, buffer: usize, room: usize) -> Result {
    // The number of the root of most file systems: no program can expect one, and 0 is none.
    const INODE: u64 = 2;
    let mut len = 0;
    for name in mount_points::in_directory(dir) {
        let entry_len = (NAME + name.len() + 1).next_multiple_of(8);
        if fs::offset(dir) != Ok(0) || entry_len > LONGEST || entry_len > room - len {
            break;
        }
        let mut bytes = [0; LONGEST];
        bytes[..8].copy_from_slice(&INODE.to_ne_bytes());
        bytes[LENGTH..TYPE].copy_from_slice(&(entry_len as u16).to_ne_bytes());
        bytes[TYPE] = libc::DT_DIR;
        bytes[NAME..NAME + name.len()].copy_from_slice(name);
        user::write_bytes(buffer + len, &bytes[..entry_len])?;
        len += entry_len;
    }
    Ok(len)
}

/// One entry in the application's buffer.
struct Entry {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Entry {
    fn read(address: usize, room: usize) -> Result<Option<Entry>> {
        let len = usize::from(user::read::<u16>(address + LENGTH)?);
        if len <= NAME || len > room.min(LONGEST) {
            return Ok(None);
        }
        let mut entry = Entry { bytes: [0; LONGEST], len };
        user::read_bytes(&mut entry.bytes[..len], address)?;
        Ok(Some(entry))
    }

    /// Whether the entry is the number of a descriptor of ours, in a directory that may be one of numbers.
    fn may_be_ours(&self) -> bool {
        let name = self.bytes[NAME..self.len].split(|&b| b == 0).next().unwrap_or_default();
        matches!(self.bytes[TYPE], libc::DT_LNK | libc::DT_REG)
            && decimal::parse(name).is_some_and(|number| fdtable::class(number) == RESERVED)
    }
}

/// Takes entries of ours out of the `len` bytes at `buffer`, which were read from `dir`; how many bytes are left.
fn without_ours(dir: i32, buffer: usize, len: usize) -> Result {
    let (mut from, mut to, mut lists_ours) = (0, 0, None);
    while from < len {
        let Some(entry) = Entry::read(buffer + from, len - from)? else { return Ok(len) };
        let is_ours = entry.may_be_ours() && *lists_ours.get_or_insert_with(|| lists_descriptors(dir));
        if !is_ours {
            if to != from {
                user::write_bytes(buffer + to, &entry.bytes[..entry.len])?;
            }
            to += entry.len;
        }
        from += entry.len;
    }
    Ok(to)
}

/// Whether an open directory is one that lists this process's descriptors.
fn lists_descriptors(dir: i32) -> bool {
    let mut path = [0; 64];
    fs::read_fd_link(dir, &mut path).is_ok_and(|n| magic_links::lists_descriptors(&path[..n]))
}
