// SPDX-License-Identifier: GPL-2.0-only
//! The text by which one program tells the next which files of a mount stay open (STOWAWAY_FDS). Pure: bytes in, entries
//! out, and back.
//!
//! Entries are separated by `;`. `N`: descriptor N is lost. `N=M`: N is the same open file as M.
//! `N@FLAGS@OFFSET@INODE@PATH`: N is the file at PATH, where `;` and `%` are written %3B and %25. All numbers are decimal.

use crate::sys::decimal::{self, Decimal};

/// What is said of one descriptor.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The descriptor.
    pub number: usize,
    /// What it is.
    pub what: What,
}

/// What a descriptor is.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// Not to be opened again.
    Lost,
    /// The same open file as another descriptor.
    Same(usize),
    /// A file or directory.
    File {
        /// As F_GETFL has them.
        flags: usize,
        /// File offset, bytes.
        offset: usize,
        /// Inode number: which file it was.
        inode: u64,
        /// Absolute path.
        path: Vec<u8>,
    },
}

/// Writes entries into a buffer, as long as there is room.
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    len: usize,
    full: bool,
}

impl Writer<'_> {
    /// Begins with `prefix`, which has to fit with a NUL.
    pub fn new<'a>(bytes: &'a mut [u8], prefix: &[u8]) -> Writer<'a> {
        let mut writer = Writer { bytes, len: 0, full: false };
        writer.put(prefix);
        writer
    }

    /// How much was written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends text that was written before.
    pub fn raw(&mut self, text: &[u8]) {
        self.put(text);
    }

    /// Appends an entry. False: there is no room for it.
    pub fn entry(&mut self, number: usize, what: impl FnOnce(&mut Writer<'_>)) -> bool {
        let before = self.len;
        self.full = false;
        self.number(number);
        let described = self.len;
        what(self);
        if self.full {
            // Without its path the file is lost.
            self.len = described;
            self.full = false;
        }
        self.put(b";");
        if self.full {
            self.len = before;
        }
        !self.full
    }

    /// Describes the entry's descriptor as the open file of another.
    pub fn same(&mut self, other: usize) {
        self.put(b"=");
        self.number(other);
    }

    /// Describes the entry's descriptor as a file.
    pub fn file(&mut self, flags: usize, offset: usize, inode: u64, path: &[u8]) {
        for value in [flags, offset, inode as usize] {
            self.put(b"@");
            self.number(value);
        }
        self.put(b"@");
        for &byte in path {
            match byte {
                b';' => self.put(b"%3B"),
                b'%' => self.put(b"%25"),
                byte => self.put(&[byte]),
            }
        }
    }

    /// Ends the text with a NUL.
    pub fn finish(self) {
        self.bytes[self.len] = 0;
    }

    fn put(&mut self, from: &[u8]) {
        // One byte is kept for the NUL.
        if self.len + from.len() >= self.bytes.len() {
            self.full = true;
            return;
        }
        self.bytes[self.len..self.len + from.len()].copy_from_slice(from);
        self.len += from.len();
    }

    fn number(&mut self, n: usize) {
        self.put(Decimal::new(n).as_bytes());
    }
}

/// Reads the entries; what is not understood is left out.
pub fn parse(text: &[u8]) -> Vec<Entry> {
    text.split(|&b| b == b';').filter_map(parse_entry).collect()
}

fn parse_entry(entry: &[u8]) -> Option<Entry> {
    let number = decimal::parse;
    if let Some(at) = entry.iter().position(|&b| b == b'@') {
        let mut fields = entry[at + 1..].splitn(4, |&b| b == b'@');
        let mut next = || number(fields.next()?);
        let (flags, offset, inode) = (next()?, next()?, next()? as u64);
        let path = unescape(fields.next()?);
        let what = What::File { flags, offset, inode, path };
        return Some(Entry { number: number(&entry[..at])?, what });
    }
    if let Some(at) = entry.iter().position(|&b| b == b'=') {
        return Some(Entry { number: number(&entry[..at])?, what: What::Same(number(&entry[at + 1..])?) });
    }
    Some(Entry { number: number(entry)?, what: What::Lost })
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, next) = match rest {
            [b'%', b'3', b'B', next @ ..] => (b';', next),
            [b'%', b'2', b'5', next @ ..] => (b'%', next),
            _ => (first, tail),
        };
        path.push(byte);
        rest = next;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(room: usize, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut bytes = vec![b'x'; room];
        let mut writer = Writer::new(&mut bytes, b"A=");
        write(&mut writer);
        writer.finish();
        let end = bytes.iter().position(|&b| b == 0).unwrap();
        bytes[2..end].to_vec()
    }

    #[test]
    fn entries_are_read_as_they_are_written() {
        let path = b"/a;b%c@d%3B";
        let text = written(4096, |writer| {
            writer.entry(7, |w| w.file(1025, 99, 12, path));
            writer.entry(3, |w| w.same(2));
            writer.entry(4, |_| ());
        });
        let file = What::File { flags: 1025, offset: 99, inode: 12, path: path.to_vec() };
        let expected = [(7, file), (3, What::Same(2)), (4, What::Lost)];
        assert_eq!(parse(&text), expected.map(|(number, what)| Entry { number, what }));
    }

    #[test]
    fn what_has_no_room_is_lost_and_nothing_else() {
        let text = written(24, |writer| {
            writer.entry(5, |w| w.file(0, 0, 1, &[b'p'; 100]));
            writer.entry(6, |w| w.same(5));
            assert!(!writer.entry(123456789012345, |_| ()));
        });
        assert_eq!(text, b"5;6=5;");
    }

    #[test]
    fn bad_entries_are_left_out() {
        for bad in [&b""[..], b"x", b"3=", b"3@1@2", b"@1@2@3@/x", b"+3", b"3@-1@2@3@/x"] {
            assert_eq!(parse(bad), [], "{}", String::from_utf8_lossy(bad));
        }
    }
}
