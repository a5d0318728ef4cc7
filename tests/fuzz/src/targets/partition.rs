// SPDX-License-Identifier: GPL-2.0-only
//! Partition tables, as the kernel library reads them from an image file.

use std::ffi::CString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use lkl::{partitions, probe_fs, Disk};

use crate::target::Target;

/// MBR with logical partitions, and GPT.
pub const TABLE: Target =
    Target { name: "partition_table", seeds, words: &[b"EFI PART", b"\x55\xaa"], most: 64 << 10, read };

const SECTOR: usize = 512;

/// A disk with four primary partitions, one with logical ones, and one with a GPT.
fn seeds() -> Vec<Vec<u8>> {
    vec![mbr(), logical(), gpt()]
}

/// One entry of an MBR: kind, first sector, sectors.
fn entry(sector: &mut [u8], number: usize, kind: u8, start: u32, sectors: u32) {
    let at = 446 + number * 16;
    sector[at + 4] = kind;
    sector[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
    sector[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    sector[510..512].copy_from_slice(&[0x55, 0xaa]);
}

fn mbr() -> Vec<u8> {
    let mut disk = vec![0; 64 * SECTOR];
    for number in 0..4 {
        entry(&mut disk, number, 0x83, 1 + 8 * number as u32, 8);
    }
    disk
}

fn logical() -> Vec<u8> {
    let mut disk = vec![0; 64 * SECTOR];
    entry(&mut disk, 0, 0x83, 1, 8);
    entry(&mut disk, 1, 0x05, 16, 40);
    for (at, next) in [(16, 8), (24, 16), (32, 0)] {
        let sector = &mut disk[at * SECTOR..][..SECTOR];
        entry(sector, 0, 0x83, 1, 4);
        if next != 0 {
            entry(sector, 1, 0x05, next, 8);
        }
    }
    disk
}

fn gpt() -> Vec<u8> {
    let mut disk = vec![0; 64 * SECTOR];
    entry(&mut disk, 0, 0xee, 1, 63);
    let mut table = vec![0u8; 4 * 128];
    for (number, raw) in table.chunks_mut(128).enumerate() {
        raw[..16].fill(0x11);
        raw[32..40].copy_from_slice(&(8 + 8 * number as u64).to_le_bytes());
        raw[40..48].copy_from_slice(&(15 + 8 * number as u64).to_le_bytes());
    }
    let mut header = [0u8; 92];
    header[..8].copy_from_slice(b"EFI PART");
    header[12..16].copy_from_slice(&92u32.to_le_bytes());
    header[24..32].copy_from_slice(&1u64.to_le_bytes());
    header[72..80].copy_from_slice(&2u64.to_le_bytes());
    header[80..84].copy_from_slice(&4u32.to_le_bytes());
    header[84..88].copy_from_slice(&128u32.to_le_bytes());
    header[88..92].copy_from_slice(&crc32(&table).to_le_bytes());
    let sum = crc32(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    disk[SECTOR..][..92].copy_from_slice(&header);
    disk[2 * SECTOR..][..table.len()].copy_from_slice(&table);
    disk
}

/// CRC-32 as in IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |sum: u32, _| sum >> 1 ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), bit))
}

fn read(input: &[u8]) {
    count(input);
}

/// Reads the table of a disk; how many partitions that has.
fn count(input: &[u8]) -> usize {
    let mut image = input.to_vec();
    repair(&mut image);
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&image).expect("written");
    let path = CString::new(file.path().as_os_str().as_bytes()).expect("a path");
    let Ok(disk) = Disk::open_unlocked(&path, true, 3) else { return 0 };
    let _ = probe_fs(&disk);
    let found = partitions(&disk);
    if let Some(table) = &found {
        for (at, part) in table.partitions().iter().enumerate() {
            let end = part.start.checked_add(part.bytes).expect("an end");
            assert!(part.bytes > 0 && part.start > 0 && end <= disk.bytes(), "{part:?} is not on the disk");
            let twice = table.partitions()[at + 1..].iter().any(|other| other.number == part.number);
            assert!(!twice, "{part:?} is there twice");
        }
        let _ = table.to_string();
    }
    disk.close();
    found.map_or(0, |table| table.partitions().len())
}

/// Makes the sums of a GPT right, so that what is behind them is read.
fn repair(image: &mut [u8]) {
    let word = |image: &[u8], at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| image[at + i])) as usize;
    if image.len() < 2 * SECTOR || image[SECTOR..][..8] != *b"EFI PART" {
        return;
    }
    let (first, count, each) = (word(image, SECTOR + 72), word(image, SECTOR + 80), word(image, SECTOR + 84));
    let bytes = first.checked_mul(SECTOR).and_then(|at| Some((at, count.checked_mul(each)?)));
    let table = bytes.and_then(|(at, len)| image.get(at..at.checked_add(len)?));
    if let Some(sum) = table.map(crc32) {
        image[SECTOR + 88..][..4].copy_from_slice(&sum.to_le_bytes());
    }
    let size = word(image, SECTOR + 12);
    image[SECTOR + 16..][..4].fill(0);
    if let Some(sum) = image.get(SECTOR..SECTOR + size.min(SECTOR)).map(crc32) {
        image[SECTOR + 16..][..4].copy_from_slice(&sum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_tables() {
        assert_eq!([mbr(), logical(), gpt()].map(|disk| count(&disk)), [4, 4, 4]);
    }
}
