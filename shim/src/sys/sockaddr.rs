// SPDX-License-Identifier: GPL-2.0-only
//! `struct sockaddr_un` (unix(7)), with a NUL behind its path.

use crate::sys::errno::{Errno, Result};
use crate::sys::user;

const FAMILY: usize = 2;
const MOST: usize = FAMILY + 108;
const ROOM: usize = 128;

/// An address of a socket, of AF_UNIX where it has a path.
#[repr(C, align(8))]
pub struct UnixAddress {
    bytes: [u8; ROOM + 8],
    len: u32,
}

impl UnixAddress {
    /// No address: room for one.
    pub fn empty() -> UnixAddress {
        UnixAddress { bytes: [0; ROOM + 8], len: ROOM as u32 }
    }

    /// The address of a socket that was not bound.
    pub fn unnamed() -> UnixAddress {
        let mut this = UnixAddress { len: FAMILY as u32, ..UnixAddress::empty() };
        this.bytes[..FAMILY].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        this
    }

    /// Reads an address of the application; None: it is none of AF_UNIX.
    pub fn read(address: usize, len: usize) -> Option<UnixAddress> {
        let len = len as u32 as usize;
        if !(FAMILY + 1..=MOST).contains(&len) {
            return None;
        }
        let mut this = UnixAddress { len: len as u32, ..UnixAddress::empty() };
        user::read_bytes(&mut this.bytes[..len], address).ok()?;
        this.is_unix().then_some(this)
    }

    /// The address with this path.
    pub fn of_path(path: &[u8]) -> Result<UnixAddress> {
        let this = UnixAddress::told(path)?;
        // A path that fills the structure has no NUL there.
        Ok(UnixAddress { len: this.len.min(MOST as u32), ..this })
    }

    /// The address with this path as the host tells addresses: with a NUL behind any path.
    pub fn told(path: &[u8]) -> Result<UnixAddress> {
        if path.len() > MOST - FAMILY {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut this = UnixAddress { len: (FAMILY + path.len() + 1) as u32, ..UnixAddress::empty() };
        this.bytes[..FAMILY].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        this.bytes[FAMILY..FAMILY + path.len()].copy_from_slice(path);
        Ok(this)
    }

    /// The address with the NUL-ended text at `path`.
    pub fn moved_to(&self, path: usize) -> Result<UnixAddress> {
        if path == self.path() {
            return Ok(UnixAddress { ..*self });
        }
        let mut text = [0; MOST - FAMILY];
        let n = user::read_string(&mut text, path)?;
        UnixAddress::of_path(&text[..n])
    }

    fn is_unix(&self) -> bool {
        self.bytes[..FAMILY] == (libc::AF_UNIX as u16).to_ne_bytes()
    }

    /// Whether the address is a path: not abstract, and not unnamed.
    pub fn has_path(&self) -> bool {
        self.path_bytes().is_some()
    }

    /// The path without its NUL.
    pub fn path_bytes(&self) -> Option<&[u8]> {
        let text = self.bytes.get(FAMILY..(self.len as usize).min(MOST))?;
        let text = &text[..text.iter().position(|&b| b == 0).unwrap_or(text.len())];
        (self.is_unix() && !text.is_empty()).then_some(text)
    }

    /// Address of the path's text, which ends in a NUL.
    pub fn path(&self) -> usize {
        self.bytes.as_ptr() as usize + FAMILY
    }

    /// The structure.
    pub fn address(&self) -> usize {
        self.bytes.as_ptr() as usize
    }

    /// The bytes of the structure.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..(self.len as usize).min(ROOM)]
    }

    /// Its length.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Says how long the address is that a call wrote.
    pub fn set_len(&mut self, len: u32) {
        self.len = len;
    }

    /// Where a call writes an address, and its length.
    pub fn room(&mut self) -> (usize, usize) {
        (self.bytes.as_mut_ptr() as usize, &raw mut self.len as usize)
    }
}
