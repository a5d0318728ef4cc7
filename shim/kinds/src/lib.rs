// SPDX-License-Identifier: GPL-2.0-only
//! What an image is, in words, and what helps a person who has one. Pure: bytes in, words out. Asked only where an image
//! cannot be mounted, and by `stowaway doctor`.
//!
//! Floors, from the lowest: marks, appended.

mod appended;
mod marks;

use std::fmt;

pub use marks::Help;

/// What can be looked at.
pub trait Bytes {
    /// How many bytes there are.
    fn size(&self) -> u64;
    /// Reads exactly `to.len()` bytes; false: there are not as many.
    fn read(&self, to: &mut [u8], at: u64) -> bool;
}

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It carries the marks of something known.
    Known {
        /// Words for it: `a LUKS volume (encrypted)`.
        what: &'static str,
        /// What helps.
        help: Help,
    },
    /// A file system begins behind something else.
    Appended {
        /// Words for it.
        what: &'static str,
        /// Where the file system begins, in bytes.
        offset: u64,
    },
    /// Zeros, as far as was looked.
    Empty,
    /// A file of a type that has nothing to do with disks.
    Other(&'static str),
}

/// What the image is; None: nothing known.
pub fn kind(image: &dyn Bytes) -> Option<Kind> {
    if let Some(mark) = marks::find(image) {
        return Some(Kind::Known { what: mark.what, help: mark.help });
    }
    let mut start = [0; 8 << 10];
    let len = (image.size().min(start.len() as u64)) as usize;
    let start = image.read(&mut start[..len], 0).then_some(&start[..len])?;
    if let Some((what, offset)) = appended::find(image, start) {
        return Some(Kind::Appended { what, offset });
    }
    if is_empty(image) {
        return Some(Kind::Empty);
    }
    infer::get(start).map(|found| Kind::Other(found.mime_type()))
}

/// Whether there are only zeros where file systems have their marks.
fn is_empty(image: &dyn Bytes) -> bool {
    const LOOK: u64 = 128 << 10;
    const CHUNK: u64 = 4096;
    let end = image.size().min(LOOK);
    (0..end).step_by(CHUNK as usize).all(|at| {
        let mut chunk = [0; CHUNK as usize];
        let chunk = &mut chunk[..CHUNK.min(end - at) as usize];
        image.read(chunk, at) && chunk.iter().all(|&byte| byte == 0)
    })
}

/// `is a LUKS volume (encrypted); cryptsetup open IMAGE NAME opens it, then mount /dev/mapper/NAME`
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Known { what, help } => write!(f, "is {what}; {help}"),
            Kind::Appended { what, offset } => {
                write!(f, "is a program or script with {what} at offset {offset}: mount it as IMAGE@{offset}")
            }
            Kind::Empty => {
                write!(
                    f,
                    "not a file system that is known here: only zeros; stowaway mkimage or mkfs makes one"
                )
            }
            Kind::Other(mime) => write!(f, "is a file of type {mime}, and no disk image"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Bytes for Vec<u8> {
        fn size(&self) -> u64 {
            self.len() as u64
        }
        fn read(&self, to: &mut [u8], at: u64) -> bool {
            let range = self.get(at as usize..).and_then(|rest| rest.get(..to.len()));
            range.map(|from| to.copy_from_slice(from)).is_some()
        }
    }

    fn words(bytes: Vec<u8>) -> String {
        kind(&bytes).map(|kind| kind.to_string()).unwrap_or_default()
    }

    fn with(at: usize, mark: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1; 256 << 10];
        bytes[at..at + mark.len()].copy_from_slice(mark);
        bytes
    }

    #[test]
    fn each_mark_is_found_by_itself() {
        for mark in marks::MARKS {
            let size = 256 << 10;
            let at = if mark.at < 0 { size + mark.at } else { mark.at };
            assert!(words(with(at as usize, mark.bytes)).contains(mark.what), "{}", mark.what);
        }
    }

    #[test]
    fn short_and_strange_files_are_nothing() {
        for size in [0, 1, 511, 512, 4095] {
            assert!(matches!(kind(&vec![1; size]), None | Some(Kind::Empty)), "{size}");
        }
        assert_eq!(words(vec![1; 100_000]), "");
        assert!(words(vec![0; 100_000]).contains("mkimage"));
        assert!(words(with(0, b"%PDF-1.7")).contains("application/pdf"));
    }

    #[test]
    fn an_appended_file_system_has_its_offset() {
        for begin in [&b"\x7fELF"[..], b"#!/bin/sh\n"] {
            let mut bytes = with(0, begin);
            let mut superblock = [0; 96];
            superblock[..4].copy_from_slice(b"hsqs");
            superblock[28] = 4;
            // Across the border of two chunks that are read, and behind a mark that is none.
            bytes[70_000..70_004].copy_from_slice(b"hsqs");
            bytes[131_070..131_070 + 96].copy_from_slice(&superblock);
            assert!(words(bytes).contains("squashfs at offset 131070: mount it as IMAGE@131070"));
        }
    }
}
