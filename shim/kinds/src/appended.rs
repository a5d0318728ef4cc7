// SPDX-License-Identifier: GPL-2.0-only
//! A file system behind something else: AppImages, installers, firmware, an image with a header that is not known.

use crate::numbers::{big, little};
use crate::Bytes;

const CHUNK: usize = 64 << 10;
/// Further than any start program is long.
const MOST: u64 = 64 << 20;
/// The longest mark.
const LONGEST: usize = 8;

/// A file system that can begin anywhere. Short marks would be found in any data: the superblock has to make sense.
struct Appended {
    what: &'static str,
    /// How far behind the file system's begin the mark stands.
    at: u64,
    mark: &'static [u8],
    /// The size of the file system that would begin there, or 0 where that is not compared. None: it is none.
    size: fn(&dyn Bytes, u64) -> Option<u64>,
}

const fn appended(
    what: &'static str,
    at: u64,
    mark: &'static [u8],
    size: fn(&dyn Bytes, u64) -> Option<u64>,
) -> Appended {
    Appended { what, at, mark, size }
}

const KINDS: [Appended; 7] = [
    appended("a squashfs", 0, b"hsqs", squashfs),
    appended("an ext2, ext3 or ext4 file system", 1080, b"\x53\xef", ext4),
    appended("an erofs", 1024, b"\xe2\xe1\xf5\xe0", erofs),
    appended("an ISO 9660 file system", 0x8000, b"\x01CD001\x01", iso9660),
    appended("a cramfs", 0, b"\x45\x3d\xcd\x28", cramfs),
    appended("a romfs", 0, b"-rom1fs-", |_, _| Some(0)),
    appended("an XFS file system", 0, b"XFSB", xfs),
];

/// Version 4.0 (fs/squashfs/squashfs_fs.h). One that is cut short is told of when it is mounted.
fn squashfs(image: &dyn Bytes, begin: u64) -> Option<u64> {
    (read::<4>(image, begin + 28)? == [4, 0, 0, 0]).then_some(0)
}

/// `struct ext4_super_block`. A copy says which group it is of; one in a journal is of a file system that does not fit.
fn ext4(image: &dyn Bytes, begin: u64) -> Option<u64> {
    let block = read::<96>(image, begin + 1024)?;
    let half = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
    let (log_block, revision, inode) = (little(&block, 24), little(&block, 76), half(88));
    let is_sound = log_block <= 6
        && half(58) <= 7
        && (1..=3).contains(&half(60))
        && half(90) == 0
        && (revision == 0 || revision == 1 && inode >= 128 && inode.is_power_of_two());
    let bytes = u64::from(little(&block, 4)) << (10 + log_block.min(6));
    (is_sound && bytes > 0).then_some(bytes)
}

/// Its block size, 512 bytes to 64K.
fn erofs(image: &dyn Bytes, begin: u64) -> Option<u64> {
    (9..=16).contains(&read::<1>(image, begin + 1024 + 12)?[0]).then_some(0)
}

/// The primary volume descriptor, with the size of a block.
fn iso9660(image: &dyn Bytes, begin: u64) -> Option<u64> {
    (read::<2>(image, begin + 0x8000 + 128)? == [0, 8]).then_some(0)
}

fn cramfs(image: &dyn Bytes, begin: u64) -> Option<u64> {
    (&read::<16>(image, begin + 16)? == b"Compressed ROMFS").then_some(0)
}

/// The size of a block, and how many of them there are.
fn xfs(image: &dyn Bytes, begin: u64) -> Option<u64> {
    let block = read::<16>(image, begin)?;
    let number = |at: usize| u64::from(big(&block, at));
    let (each, blocks) = (number(4), number(8) << 32 | number(12));
    ((512..=65_536).contains(&each) && each.is_power_of_two()).then(|| each.saturating_mul(blocks))
}

/// Words for the file system, and its offset.
pub fn find(image: &dyn Bytes) -> Option<(&'static str, u64)> {
    let mut begins_one = [false; 256];
    KINDS.iter().for_each(|kind| begins_one[usize::from(kind.mark[0])] = true);
    let mut chunk = vec![0; CHUNK];
    let end = image.size().min(MOST);
    let mut at = 0;
    while at + LONGEST as u64 <= end {
        let len = (end - at).min(CHUNK as u64) as usize;
        let chunk = &mut chunk[..len];
        if !image.read(chunk, at) {
            return None;
        }
        let places = chunk.windows(LONGEST).enumerate().filter(|(_, head)| begins_one[usize::from(head[0])]);
        for (from, head) in places {
            if let Some(found) = KINDS.iter().find_map(|kind| kind.at(image, head, at + from as u64)) {
                return Some(found);
            }
        }
        at += (len - LONGEST + 1) as u64;
    }
    None
}

impl Appended {
    /// The file system whose mark stands at `at`, if it fits, and where it begins.
    fn at(&self, image: &dyn Bytes, head: &[u8], at: u64) -> Option<(&'static str, u64)> {
        if !head.starts_with(self.mark) {
            return None;
        }
        let begin = at.checked_sub(self.at).filter(|&begin| begin > 0)?;
        let size = (self.size)(image, begin)?;
        (begin.saturating_add(size) <= image.size()).then_some((self.what, begin))
    }
}

fn read<const N: usize>(image: &dyn Bytes, at: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    image.read(&mut bytes, at).then_some(bytes)
}
