// SPDX-License-Identifier: GPL-2.0-only
//! Partition tables: GPT (UEFI specification, chapter 5) and MBR with its chain of logical partitions.
//! Nothing is allocated.

use std::fmt;

use super::partition_kind::Kind;
use crate::sys::Errno;

/// More than any table that is met; what lies beyond is not seen.
const MOST: usize = 128;
const SECTOR: u64 = 512;

/// What can be read like a disk.
pub trait Sectors {
    /// The size.
    fn bytes(&self) -> u64;
    /// Reads exactly `to.len()` bytes; beyond the end: EIO.
    fn read_at(&self, to: &mut [u8], off: u64) -> Result<(), Errno>;
}

/// A part of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Partition {
    /// The number, as the host's kernel counts partitions, from 1.
    pub number: u32,
    /// Where the partition begins, in bytes.
    pub start: u64,
    /// The partition's size in bytes.
    pub bytes: u64,
    /// What the table says the partition is for.
    pub kind: Kind,
}

/// The partitions of a disk.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    parts: [Partition; MOST],
    count: usize,
}

impl Table {
    const fn new() -> Table {
        Table { parts: [Partition { number: 0, start: 0, bytes: 0, kind: Kind::Mbr(0) }; MOST], count: 0 }
    }

    /// The partitions in the order of their numbers.
    pub fn partitions(&self) -> &[Partition] {
        &self.parts[..self.count]
    }

    /// The partition of this number.
    pub fn find(&self, number: u32) -> Option<Partition> {
        self.partitions().iter().copied().find(|p| p.number == number)
    }

    /// Takes a partition in if it lies on the disk.
    fn add(&mut self, part: Partition, disk: u64) {
        let Partition { start, bytes, .. } = part;
        let fits = bytes > 0 && start >= SECTOR && start.checked_add(bytes).is_some_and(|end| end <= disk);
        if fits && self.count < MOST {
            self.parts[self.count] = part;
            self.count += 1;
        }
    }
}

/// `1 (512K, EFI system), 3 (30M, Linux)`
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.partitions().iter().enumerate() {
            let (size, unit) = match p.bytes {
                b if b >= 10 << 30 => (b >> 30, "G"),
                b if b >= 10 << 20 => (b >> 20, "M"),
                b => (b >> 10, "K"),
            };
            write!(f, "{}{} ({size}{unit}, {})", if i == 0 { "" } else { ", " }, p.number, p.kind)?;
        }
        Ok(())
    }
}

/// Reads the disk's partition table; `None`: the disk has none.
pub fn partitions(disk: &dyn Sectors) -> Option<Table> {
    let mut sector = [0u8; SECTOR as usize];
    disk.read_at(&mut sector, 0).ok()?;
    let entries = mbr_entries(&sector)?;
    let table = match entries.iter().any(|e| e.kind == Entry::PROTECTIVE) {
        true => gpt(disk)?,
        false => mbr(disk, &entries),
    };
    (table.count > 0).then_some(table)
}

#[derive(Clone, Copy, Default)]
struct Entry {
    kind: u8,
    /// In sectors.
    start: u64,
    sectors: u64,
}

impl Entry {
    const PROTECTIVE: u8 = 0xee;

    /// The partition of an entry that counts from sector `from`.
    fn partition(self, number: usize, from: u64) -> Partition {
        let (start, bytes) = ((from + self.start) * SECTOR, self.sectors * SECTOR);
        Partition { number: number as u32, start, bytes, kind: Kind::Mbr(self.kind) }
    }

    fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// The four entries, if the sector looks like a table: the boot sector of a FAT file system has the signature, too.
fn mbr_entries(sector: &[u8; SECTOR as usize]) -> Option<[Entry; 4]> {
    const TABLE: usize = 446;
    if sector[510..] != [0x55, 0xaa] {
        return None;
    }
    let mut entries = [Entry::default(); 4];
    for (entry, raw) in entries.iter_mut().zip(sector[TABLE..].chunks(16)) {
        if raw[0] & 0x7f != 0 {
            return None;
        }
        *entry = Entry { kind: raw[4], start: word(raw, 8).into(), sectors: word(raw, 12).into() };
    }
    Some(entries)
}

fn mbr(disk: &dyn Sectors, entries: &[Entry; 4]) -> Table {
    let mut table = Table::new();
    for (i, e) in entries.iter().enumerate().filter(|(_, e)| e.kind != 0 && !e.is_extended()) {
        table.add(e.partition(i + 1, 0), disk.bytes());
    }
    if let Some(extended) = entries.iter().find(|e| e.is_extended()) {
        logical(disk, extended.start, &mut table);
    }
    table
}

/// Each logical partition has a table of its own before it, which names it and the next such table.
fn logical(disk: &dyn Sectors, extended: u64, table: &mut Table) {
    let mut at = extended;
    for number in 5..MOST {
        let mut sector = [0u8; SECTOR as usize];
        if disk.read_at(&mut sector, at * SECTOR).is_err() {
            return;
        }
        let Some([part, next, ..]) = mbr_entries(&sector) else { return };
        if part.kind != 0 {
            table.add(part.partition(number, at), disk.bytes());
        }
        if !next.is_extended() || next.start == 0 {
            return;
        }
        at = extended + next.start;
    }
}

fn gpt(disk: &dyn Sectors) -> Option<Table> {
    for block in [SECTOR, 4096] {
        let last = (disk.bytes() / block).checked_sub(1)?;
        if let Some(table) = [1, last].into_iter().find_map(|at| gpt_at(disk, at, block).ok().flatten()) {
            return Some(table);
        }
    }
    None
}

/// The table whose header is in block `at`, if that is one.
fn gpt_at(disk: &dyn Sectors, at: u64, block: u64) -> Result<Option<Table>, Errno> {
    const CHECKSUM: usize = 16;
    let mut header = [0u8; SECTOR as usize];
    disk.read_at(&mut header, at * block)?;
    let size = word(&header, 12) as usize;
    let sum = word(&header, CHECKSUM);
    header[CHECKSUM..CHECKSUM + 4].fill(0);
    if !header.starts_with(b"EFI PART") || !(92..=header.len()).contains(&size) {
        return Ok(None);
    }
    if crc32(!0, &header[..size]) != !sum || long(&header, 24) != at {
        return Ok(None);
    }
    let (first, count, each) = (long(&header, 72), word(&header, 80), u64::from(word(&header, 84)));
    if !(128..=4096).contains(&each) || count > 4096 {
        return Ok(None);
    }
    let (mut table, mut sum) = (Table::new(), !0);
    for i in 0..u64::from(count) {
        let mut buf = [0u8; 4096];
        let raw = &mut buf[..each as usize];
        disk.read_at(raw, first.saturating_mul(block).saturating_add(i * each))?;
        sum = crc32(sum, raw);
        if raw[..16] != [0; 16] {
            let (from, to) = (long(raw, 32), long(raw, 40));
            let blocks = to.saturating_add(1).saturating_sub(from);
            let (start, bytes) = (from.saturating_mul(block), blocks.saturating_mul(block));
            let kind = Kind::gpt(raw);
            table.add(Partition { number: i as u32 + 1, start, bytes, kind }, disk.bytes());
        }
    }
    Ok((!sum == word(&header, 88)).then_some(table))
}

fn word(raw: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]])
}

fn long(raw: &[u8], at: usize) -> u64 {
    u64::from(word(raw, at)) | u64::from(word(raw, at + 4)) << 32
}

/// IEEE 802.3's, without the inversions at both ends.
fn crc32(mut sum: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum() {
        assert_eq!(!crc32(!0, b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn what_does_not_fit_is_not_there() {
        let mut table = Table::new();
        let part = |number, start, bytes| Partition { number, start, bytes, kind: Kind::Mbr(0x83) };
        for (number, start, bytes) in [(1, 512, 1024), (2, 512, 4096), (3, 0, 512), (4, u64::MAX, 512)] {
            table.add(part(number, start, bytes), 4096);
        }
        assert_eq!(table.partitions(), [part(1, 512, 1024)]);
        assert_eq!(table.to_string(), "1 (1K, Linux)");
    }

    #[test]
    fn a_boot_sector_is_no_table() {
        let mut sector = [0u8; 512];
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        assert!(mbr_entries(&sector).is_some());
        sector[446] = b'N';
        assert!(mbr_entries(&sector).is_none());
    }
}
