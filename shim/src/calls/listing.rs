// SPDX-License-Identifier: GPL-2.0-only
//! Directories of the host as the application reads them: descriptors of ours are not open to the application, so
//! /proc/self/fd and /proc/self/fdinfo do not list them.

use crate::fdtable::{self, Owner, RESERVED};
use crate::lookup::magic_links;
use crate::sys::call::Call;
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
    loop {
        let len = c.to_host()?;
        if len == 0 || !fdtable::any_reserved() {
            return Ok(len);
        }
        match without_ours(c.args[0] as i32, c.args[1], len)? {
            // All were ours: more may follow.
            0 => {}
            left => return Ok(left),
        }
    }
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
