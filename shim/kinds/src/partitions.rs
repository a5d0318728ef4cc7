// SPDX-License-Identifier: GPL-2.0-only
//! Partition tables of which nothing can be mounted: empty ones, those of an image that is cut short, damaged ones.

use std::fmt;

use crate::numbers::{little, little_long};
use crate::Bytes;

const SECTOR: u64 = 512;
/// As many entries as are looked at: GPTs have 128.
const MOST: u32 = 128;
const PROTECTIVE: u8 = 0xee;

/// A table, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    kind: &'static str,
    wrong: Wrong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Empty,
    /// The partition ends behind the end of the image, in bytes.
    Cut {
        number: u32,
        end: u64,
        has: u64,
    },
    Damaged,
}

/// `has a partition table (MBR), but is cut short: partition 1 ends at byte 22020096, the image at 15728640`
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind;
        match self.wrong {
            Wrong::Empty => {
                write!(f, "has an empty partition table ({kind}): sfdisk or parted makes partitions in it")
            }
            Wrong::Cut { number, end, has } => write!(
                f,
                "has a partition table ({kind}), but is cut short: partition {number} ends at byte {end}, the image at {has}"
            ),
            Wrong::Damaged => {
                write!(f, "has a damaged partition table ({kind}): gdisk or sgdisk repairs what it can")
            }
        }
    }
}

/// The table, if nothing of it can be mounted.
pub fn find(image: &dyn Bytes) -> Option<Table> {
    let mut table = Found { has: image.size(), ..Found::default() };
    let kind = table.read(image)?;
    let wrong = match (table.any, table.cut, table.fits) {
        (true, Some(_), true) => return None,
        (true, Some((number, end)), false) => Wrong::Cut { number, end, has: table.has },
        (false, ..) if kind == "MBR" || table.has_header => Wrong::Empty,
        // Partitions that nobody sees: a check sum is wrong, or the header is gone.
        _ if kind == "GPT" => Wrong::Damaged,
        _ => return None,
    };
    Some(Table { kind, wrong })
}

/// Whether there is a table with a partition that can be mounted.
pub fn has_any(image: &dyn Bytes) -> bool {
    let mut table = Found { has: image.size(), ..Found::default() };
    table.read(image).is_some() && table.fits
}

/// The partition of this number, if it is on the table and not on the image.
pub fn find_cut(image: &dyn Bytes, number: u32) -> Option<Table> {
    let mut table = Found { has: image.size(), wanted: Some(number), ..Found::default() };
    let kind = table.read(image)?;
    let (number, end) = table.cut?;
    Some(Table { kind, wrong: Wrong::Cut { number, end, has: table.has } })
}

/// What was seen of a table.
#[derive(Default)]
struct Found {
    /// The size of the image.
    has: u64,
    /// Only what is about this partition counts.
    wanted: Option<u32>,
    has_header: bool,
    any: bool,
    fits: bool,
    /// The first partition that ends behind the image, and where.
    cut: Option<(u32, u64)>,
}

impl Found {
    /// Reads the table; its kind. None: there is none.
    fn read(&mut self, image: &dyn Bytes) -> Option<&'static str> {
        let mut sector = [0; SECTOR as usize];
        let is_there = image.read(&mut sector, 0) && sector[510..] == [0x55, 0xaa];
        let entries = &sector[446..510];
        if !is_there || entries.chunks(16).any(|entry| entry[0] & 0x7f != 0) {
            return None;
        }
        if entries.chunks(16).any(|entry| entry[4] == PROTECTIVE) {
            self.has_header = [SECTOR, 4096].into_iter().any(|block| self.gpt(image, block));
            return Some("GPT");
        }
        for (number, entry) in (1..).zip(entries.chunks(16)).filter(|(_, entry)| entry[4] != 0) {
            let end = (u64::from(little(entry, 8)) + u64::from(little(entry, 12))) * SECTOR;
            let is_extended = matches!(entry[4], 0x05 | 0x0f | 0x85);
            // The logical partitions, from 5 on, lie in the extended one.
            let is_wanted = |wanted| wanted == number || is_extended && wanted > 4;
            self.add(number, end, self.wanted.is_none_or(is_wanted));
        }
        Some("MBR")
    }

    /// False: there is no header in block 1.
    fn gpt(&mut self, image: &dyn Bytes, block: u64) -> bool {
        let mut header = [0; 92];
        if !image.read(&mut header, block) || !header.starts_with(b"EFI PART") {
            return false;
        }
        let (first, count, each) =
            (little_long(&header, 72), little(&header, 80), u64::from(little(&header, 84)));
        for number in 0..count.min(MOST) {
            let mut entry = [0; 48];
            let at = first.saturating_mul(block).saturating_add(u64::from(number) * each);
            if image.read(&mut entry, at) && entry[..16] != [0; 16] {
                let end = little_long(&entry, 40).saturating_add(1).saturating_mul(block);
                self.add(number + 1, end, self.wanted.is_none_or(|wanted| wanted == number + 1));
            }
        }
        true
    }

    fn add(&mut self, number: u32, end: u64, is_wanted: bool) {
        self.any = true;
        match end <= self.has {
            true => self.fits = true,
            false if is_wanted => {
                self.cut.get_or_insert((number, end));
            }
            false => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (kind, first sector, sectors)
    fn mbr(entries: &[(u8, u32, u32)], size: usize) -> Vec<u8> {
        let mut disk = vec![0; size];
        for (entry, (kind, first, sectors)) in disk[446..510].chunks_mut(16).zip(entries) {
            entry[4] = *kind;
            entry[8..12].copy_from_slice(&first.to_le_bytes());
            entry[12..16].copy_from_slice(&sectors.to_le_bytes());
        }
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk
    }

    /// (first block, last block)
    fn gpt(entries: &[(u64, u64)], size: usize) -> Vec<u8> {
        let mut disk = mbr(&[(PROTECTIVE, 1, 99)], size);
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[584..592].copy_from_slice(&2u64.to_le_bytes());
        disk[592..596].copy_from_slice(&128u32.to_le_bytes());
        disk[596..600].copy_from_slice(&128u32.to_le_bytes());
        for (entry, (first, last)) in disk[1024..].chunks_mut(128).zip(entries) {
            entry[0] = 7;
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
        }
        disk
    }

    fn words(found: Option<Table>) -> String {
        found.map_or(String::new(), |table| table.to_string())
    }

    #[test]
    fn empty_tables() {
        assert!(words(find(&mbr(&[], 9000))).contains("an empty partition table (MBR)"));
        assert!(words(find(&gpt(&[], 50_000))).contains("an empty partition table (GPT)"));
        assert_eq!(words(find(&vec![0; 9000])), "");
    }

    #[test]
    fn tables_of_images_that_are_cut_short() {
        let cut = mbr(&[(0x83, 2, 4), (0x83, 8, 100)], 9000);
        assert_eq!(words(find(&cut)), "", "one partition is there");
        assert!(has_any(&cut) && !has_any(&mbr(&[(0x83, 8, 100)], 9000)) && !has_any(&mbr(&[], 9000)));
        assert!(words(find_cut(&cut, 2)).contains("partition 2 ends at byte 55296, the image at 9000"));
        assert_eq!(words(find_cut(&cut, 1)), "");
        assert_eq!(words(find_cut(&cut, 3)), "");
        let cut = mbr(&[(0x83, 8, 100)], 9000);
        assert!(words(find(&cut)).contains("(MBR), but is cut short: partition 1 ends at byte 55296"));
        let cut = gpt(&[(50, 99)], 20_000);
        assert!(words(find(&cut)).contains("(GPT), but is cut short: partition 1 ends at byte 51200"));
        assert!(words(find_cut(&cut, 1)).contains("cut short"));
        // A logical partition of an extended one.
        let cut = mbr(&[(0x83, 2, 4), (0x05, 8, 100)], 9000);
        assert!(words(find_cut(&cut, 6)).contains("partition 2 ends at byte 55296"));
        assert_eq!(words(find_cut(&cut, 3)), "");
    }

    #[test]
    fn a_gpt_that_nobody_reads() {
        assert!(words(find(&gpt(&[(50, 60)], 50_000))).contains("damaged"));
        let mut gone = gpt(&[(50, 60)], 50_000);
        gone[512..600].fill(0);
        assert!(words(find(&gone)).contains("damaged"));
    }
}
