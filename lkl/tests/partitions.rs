// SPDX-License-Identifier: GPL-2.0-only
//! Partition tables made by other code; file systems in partitions.

mod common;
use common::*;
use lkl::{partitions, Disk, DiskError};
use std::ffi::CString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

fn look(image: &Path) -> Disk {
    let path = CString::new(image.as_os_str().as_encoded_bytes()).unwrap();
    Disk::open_unlocked(&path, false, 700).unwrap()
}

/// (number, start, bytes)
fn found(image: &Path) -> Vec<(u32, u64, u64)> {
    let disk = look(image);
    let table = partitions(&disk);
    disk.close();
    table.iter().flat_map(|t| t.partitions()).map(|p| (p.number, p.start, p.bytes)).collect()
}

/// Partitions 1 (2 MiB at 1 MiB) and 3 (32 MiB at 4 MiB) of 40 MiB.
fn gpt(dir: &Path, sector: u64) -> PathBuf {
    let image = dir.join("gpt.img");
    make_file(&image, 40);
    let mut file = File::options().read(true).write(true).open(&image).unwrap();
    let mut table = gptman::GPT::new_from(&mut file, sector, [7; 16]).unwrap();
    for (number, start, mib) in [(1, 1, 2), (3, 4, 32)] {
        table[number] = gptman::GPTPartitionEntry {
            partition_type_guid: [9; 16],
            unique_partition_guid: [number as u8; 16],
            starting_lba: start * MIB / sector,
            ending_lba: (start + mib) * MIB / sector - 1,
            attribute_bits: 0,
            partition_name: "test".into(),
        };
    }
    table.write_into(&mut file).unwrap();
    gptman::GPT::write_protective_mbr_into(&mut file, sector).unwrap();
    image
}

#[test]
fn gpt_is_read() {
    let dir = scratch("gpt-read");
    for sector in [512, 4096] {
        let image = gpt(&dir, sector);
        let parts = vec![(1, MIB, 2 * MIB), (3, 4 * MIB, 32 * MIB)];
        assert_eq!(found(&image), parts);
        // The first header is gone: the one at the end counts.
        let file = File::options().write(true).open(&image).unwrap();
        file.write_all_at(&[0xff; 8], sector + 40).unwrap();
        assert_eq!(found(&image), parts);
        // So are the entries of both.
        file.write_all_at(&[1; 8], 2 * sector + 100).unwrap();
        file.write_all_at(&[1; 8], 40 * MIB - sector + 20).unwrap();
        assert_eq!(found(&image), []);
    }
}

#[test]
fn mbr_and_its_logical_partitions_are_read() {
    let dir = scratch("mbr-read");
    let image = dir.join("mbr.img");
    make_file(&image, 40);
    let file = File::options().read(true).write(true).open(&image).unwrap();
    let table = |parts: [(u8, (u32, u32)); 2]| {
        let mut sector = [0u8; 512];
        let mut put = |at: usize, kind: u8, (start, sectors): (u32, u32)| {
            sector[at + 4] = kind;
            sector[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            sector[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        };
        put(446, parts[0].0, parts[0].1);
        put(462, parts[1].0, parts[1].1);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    };
    let mib = (MIB / 512) as u32;
    const LINUX: u8 = 0x83;
    const EXTENDED: u8 = 0x05;
    let write = |at: u64, parts| file.write_all_at(&table(parts), at * MIB).unwrap();
    write(0, [(LINUX, (mib, 4 * mib)), (EXTENDED, (8 * mib, 24 * mib))]);
    // The chain: two logical partitions, each behind its table.
    write(8, [(LINUX, (mib, 4 * mib)), (EXTENDED, (8 * mib, 8 * mib))]);
    write(16, [(LINUX, (mib, 5 * mib)), (0, (0, 0))]);
    assert_eq!(found(&image), [(1, MIB, 4 * MIB), (5, 9 * MIB, 4 * MIB), (6, 17 * MIB, 5 * MIB)]);
    // A chain that bites its tail ends.
    write(16, [(LINUX, (mib, 5 * mib)), (EXTENDED, (8 * mib, 8 * mib))]);
    assert!(found(&image).len() <= 128);
}

#[test]
fn what_is_no_table_is_none() {
    let dir = scratch("no-table");
    let image = ext4_image(&dir, 8);
    assert_eq!(found(&image), []);
    let fat = dir.join("fat.img");
    make_file(&fat, 8);
    must("mkfs.vfat", &[fat.to_str().unwrap()]);
    assert_eq!(found(&fat), []);
    std::fs::write(&fat, b"short").unwrap();
    assert_eq!(found(&fat), []);
}

#[test]
fn a_partition_is_mounted_and_the_rest_stays() {
    alone("a_partition_is_mounted_and_the_rest_stays", || {
        let dir = scratch("gpt-mount");
        let image = gpt(&dir, 512);
        let inner = ext4_image(&dir, 32);
        let file = File::options().read(true).write(true).open(&image).unwrap();
        file.write_all_at(&std::fs::read(&inner).unwrap(), 4 * MIB).unwrap();
        let around = |part: std::ops::Range<u64>| {
            let mut bytes = vec![0; (part.end - part.start) as usize];
            file.read_exact_at(&mut bytes, part.start).unwrap();
            bytes
        };
        let outside = || (around(0..4 * MIB), around(36 * MIB..40 * MIB));
        let before = outside();
        let mut disk = look(&image);
        assert_eq!(disk.lock(Some(2)), Err(DiskError::NoPartition));
        assert_eq!(lkl::probe_fs(&disk), Ok(None));
        disk.lock(Some(3)).unwrap();
        let k = start();
        k.mount_disk(&disk, "/mnt", 100).unwrap();
        assert_eq!(k.read_file(100, "dir/deep.txt").unwrap(), b"deep\n");
        k.write_file(100, "more", &sample_bytes(10 << 20)).unwrap();
        k.shutdown().unwrap();
        assert!(outside() == before);
        std::fs::write(&inner, around(4 * MIB..36 * MIB)).unwrap();
        check_ext4(&inner);
        assert!(must("debugfs", &["-R", "stat more", inner.to_str().unwrap()]).contains("Size: 10485760"));
    });
}

#[test]
fn partitions_are_locked_one_by_one() {
    alone("partitions_are_locked_one_by_one", || {
        let image = gpt(&scratch("gpt-lock"), 512);
        let mut first = look(&image);
        let mut third = look(&image);
        first.lock(Some(1)).unwrap();
        third.lock(Some(3)).unwrap();
        let mut other = look(&image);
        assert!(matches!(other.lock(Some(3)), Err(DiskError::Busy { .. })));
        assert!(matches!(open_disk(&image, false), Err(DiskError::Busy { .. })));
        first.close();
        third.close();
        open_disk(&image, false).unwrap();
    });
}
