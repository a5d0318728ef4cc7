// SPDX-License-Identifier: GPL-2.0-only
//! What an image is, in words, and what helps a person who has one. Pure: bytes in, words out. Asked only where an image
//! cannot be mounted, and by `stowaway doctor`.
//!
//! Floors, from the lowest: numbers, marks, partitions, members, appended.

mod appended;
mod marks;
mod members;
mod numbers;
mod partitions;

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
    /// A file system begins there, and nobody may write it alone.
    Member {
        /// Words for it: `a member of a Linux RAID array (md)`.
        what: &'static str,
        /// What helps.
        help: Help,
    },
    /// A partition table of which nothing can be mounted.
    Table(partitions::Table),
    /// A file system begins behind something else.
    Appended {
        /// Words for it.
        what: &'static str,
        /// Where the file system begins, in bytes.
        offset: u64,
        /// The something is a program or a script.
        is_program: bool,
    },
    /// Nothing but zeros.
    Empty,
    /// Zeros where file systems begin, and something behind them.
    StartLost,
    /// So few bytes that no file system has room.
    Short(u64),
    /// A file of a type that has nothing to do with disks.
    Other(&'static str),
}

/// What the image is; None: nothing known.
pub fn kind(image: &dyn Bytes) -> Option<Kind> {
    let mark = marks::find(image);
    if let Some(members::Member { what, help }) = members::find(image) {
        return Some(match mark {
            Some(mark) if mark.help == Help::Mounts => Kind::Member { what, help },
            _ => Kind::Known { what, help },
        });
    }
    if let Some(mark) = mark {
        return Some(Kind::Known { what: mark.what, help: mark.help });
    }
    // Whoever mounts them says what they are, or that the table is damaged.
    if partitions::has_any(image) {
        return None;
    }
    if let Some(table) = partitions::find(image) {
        return Some(Kind::Table(table));
    }
    let mut start = [0; 8 << 10];
    let len = (image.size().min(start.len() as u64)) as usize;
    let start = image.read(&mut start[..len], 0).then_some(&start[..len])?;
    if let Some((what, offset)) = appended::find(image) {
        let is_program = start.starts_with(b"\x7fELF") || start.starts_with(b"#!");
        return Some(Kind::Appended { what, offset, is_program });
    }
    if let Some(zeros) = zeros(image) {
        return Some(zeros);
    }
    infer::get(start).map(|found| Kind::Other(found.mime_type()))
}

/// What the image is a member of. Whoever writes it alone makes it differ from the other members.
pub fn member(image: &dyn Bytes) -> Option<Kind> {
    members::find(image).map(|found| Kind::Member { what: found.what, help: found.help })
}

/// The same of a disk, of which a partition is meant.
pub fn member_disk(image: &dyn Bytes) -> Option<Kind> {
    members::find_disk(image).map(|found| Kind::Member { what: found.what, help: found.help })
}

/// The partition table, if it has this partition and the image has not.
pub fn cut_partition(image: &dyn Bytes, number: u32) -> Option<Kind> {
    partitions::find_cut(image, number).map(Kind::Table)
}

/// The partition table, if nothing of it can be mounted.
pub fn table(image: &dyn Bytes) -> Option<Kind> {
    partitions::find(image).map(Kind::Table)
}

/// What to say of an image that begins with zeros. mkfs is good advice only where there is nothing to lose: so there is a look
/// behind what file systems have at their beginning.
fn zeros(image: &dyn Bytes) -> Option<Kind> {
    const START: u64 = 128 << 10;
    const CHUNK: u64 = 4096;
    /// As many looks as are taken behind the start, all over the image.
    const LOOKS: u64 = 4096;
    /// The smallest file system there is fits into as much.
    const LEAST: u64 = 4096;
    let is_zero = |at: u64| {
        let mut chunk = [0; CHUNK as usize];
        let chunk = &mut chunk[..CHUNK.min(image.size() - at) as usize];
        image.read(chunk, at) && chunk.iter().all(|&byte| byte == 0)
    };
    let size = image.size();
    if !(0..size.min(START)).step_by(CHUNK as usize).all(is_zero) {
        return None;
    }
    let step = (size / LOOKS).next_multiple_of(CHUNK).max(CHUNK);
    let is_all_zero = (0..size).step_by(step as usize).all(is_zero);
    Some(match (size < LEAST, is_all_zero) {
        (true, _) => Kind::Short(size),
        (false, true) => Kind::Empty,
        (false, false) => Kind::StartLost,
    })
}

/// `is a LUKS volume (encrypted); cryptsetup open IMAGE NAME opens it, then mount /dev/mapper/NAME`
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Known { what, help } => write!(f, "is {what}; {help}"),
            Kind::Member { what, help } => {
                write!(f, "is {what}, and writing it alone makes it differ from the others: {help}; :ro looks at this one")
            }
            Kind::Table(table) => write!(f, "{table}"),
            Kind::Appended { what, offset, is_program: true } => {
                write!(f, "is a program or script with {what} at offset {offset}: mount it as IMAGE@{offset}")
            }
            Kind::Appended { what, offset, .. } => {
                write!(f, "has {what} behind other data, at offset {offset}: mount it as IMAGE@{offset}")
            }
            Kind::Short(bytes) => {
                write!(f, "not a file system that is known here: has only {bytes} bytes, too few for one")
            }
            Kind::StartLost => write!(
                f,
                "not a file system that is known here: begins with zeros, and has data behind them; what stood there may be lost"
            ),
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
        let mut bytes = vec![1; (256 << 10).max(at + 24)];
        bytes[at..at + mark.len()].copy_from_slice(mark);
        bytes
    }

    #[test]
    fn each_mark_is_found_by_itself() {
        for mark in marks::MARKS {
            let size = (256 << 10).max(mark.at + 24);
            let at = if mark.at < 0 { size + mark.at } else { mark.at };
            assert!(words(with(at as usize, mark.bytes)).contains(mark.what), "{}", mark.what);
        }
    }

    #[test]
    fn short_and_strange_files_are_nothing() {
        for size in [0, 1, 511, 512, 4095] {
            assert!(matches!(kind(&vec![1; size]), None | Some(Kind::Short(0))), "{size}");
        }
        assert_eq!(words(vec![1; 100_000]), "");
        assert!(words(vec![0; 100_000]).contains("mkimage"));
        assert!(words(vec![0; 1 << 20]).contains("mkimage"));
        // Where there may be something to lose, mkfs is no advice.
        let mut later = vec![0; 1 << 20];
        later[900_000] = 1;
        for (bytes, said) in [(later, "data behind them"), (vec![0; 100], "only 100 bytes")] {
            let words = words(bytes);
            assert!(words.contains(said) && !words.contains("mkfs"), "{words}");
        }
        assert!(words(with(0, b"%PDF-1.7")).contains("application/pdf"));
    }

    #[test]
    fn a_member_is_told_before_its_file_system() {
        let mut bytes = with(1080, b"\x53\xef");
        bytes[(256 << 10) - 4096 + 60..][..4].copy_from_slice(&[0x83, 0x74, 2, 0x6b]);
        assert!(words(bytes).contains(
            "is a disk of a DRBD resource, and writing it alone makes it differ from the others: drbdadm"
        ));
    }

    #[test]
    fn a_disk_with_partitions_is_nothing_by_itself() {
        let mut disk = with(446, &[0; 66]);
        disk[450..462].copy_from_slice(&[0x83, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0]);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(words(disk), "");
        let mut disk = vec![0; 256 << 10];
        disk[450] = 0xee;
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(words(disk.clone()).contains("damaged partition table (GPT)"));
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[584..600].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 128, 0, 0, 0]);
        (disk[1024], disk[1024 + 40]) = (7, 99);
        assert_eq!(words(disk), "");
    }

    /// Across the border of two chunks that are read.
    const AT: usize = 65_531;

    /// Bytes, and how far behind the file system's begin they stand.
    type Marks<'a> = &'a [(usize, &'a [u8])];

    fn behind(begin: &[u8], marks: Marks) -> String {
        let mut bytes = with(0, begin);
        for (at, mark) in marks {
            bytes[AT + at..AT + at + mark.len()].copy_from_slice(mark);
        }
        words(bytes)
    }

    #[test]
    fn an_appended_file_system_has_its_offset() {
        let ext4: Marks = &[
            (1028, &[64, 0, 0, 0]),
            (1048, &[0; 4]),
            (1080, b"\x53\xef\x01\0\x01\0"),
            (1100, &[1, 0, 0, 0]),
            (1112, &[0, 1, 0, 0]),
        ];
        let kinds: [(&str, Marks); 7] = [
            ("squashfs", &[(0, b"hsqs"), (28, &[4, 0, 0, 0])]),
            ("ext4", ext4),
            ("erofs", &[(1024, b"\xe2\xe1\xf5\xe0"), (1036, &[12])]),
            ("ISO 9660", &[(0x8000, b"\x01CD001\x01"), (0x8080, &[0, 8])]),
            ("cramfs", &[(0, b"\x45\x3d\xcd\x28"), (16, b"Compressed ROMFS")]),
            ("romfs", &[(0, b"-rom1fs-")]),
            ("XFS", &[(0, b"XFSB\0\0\x10\0\0\0\0\0\0\0\0\x10")]),
        ];
        for (what, marks) in kinds {
            for begin in [&b"\x7fELF"[..], b"#!/bin/sh\n", b"\x27\x05\x19\x56"] {
                let words = behind(begin, marks);
                let end = format!("at offset {AT}: mount it as IMAGE@{AT}");
                assert!(words.contains(what) && words.ends_with(&end), "{what}: {words}");
                assert_eq!(words.contains("program"), begin[0] != 0x27, "{words}");
            }
        }
        // Marks without a superblock; a copy of one; one of a file system that is longer than the image.
        assert_eq!(behind(b"x", &[(0, b"hsqs"), (100, b"XFSB"), (2000, b"\x53\xef")]), "");
        for (at, other) in [(1114, &[1, 0][..]), (1028, &[0, 4, 0, 0])] {
            assert_eq!(behind(b"x", &[ext4, &[(at, other)]].concat()), "", "{at}");
        }
    }
}
