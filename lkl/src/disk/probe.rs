// SPDX-License-Identifier: GPL-2.0-only
//! What file system is it?  By the magic numbers of the superblocks.

use super::partition::Sectors;
use crate::sys::Errno;
use std::ffi::CStr;

struct Magic {
    offset: u64,
    bytes: &'static [u8],
    fstype: &'static CStr,
}

const fn magic(offset: u64, bytes: &'static [u8], fstype: &'static CStr) -> Magic {
    Magic { offset, bytes, fstype }
}

/// First match wins: those that are sure come first (an ext4 image may keep a boot sector).
const MAGICS: &[Magic] = &[
    magic(0, b"XFSB", c"xfs"),
    magic(0, b"hsqs", c"squashfs"),
    magic(0x10040, b"_BHRfS_M", c"btrfs"),
    magic(1024, &[0xe2, 0xe1, 0xf5, 0xe0], c"erofs"),
    magic(1024 + 56, &[0x53, 0xef], c"ext4"), // ext2 and ext3 too: one driver
    magic(1024, &[0x10, 0x20, 0xf5, 0xf2], c"f2fs"),
    magic(3, b"NTFS    ", c"ntfs3"),
    magic(3, b"EXFAT   ", c"exfat"),
    magic(0x8000, b"JFS1", c"jfs"),
    // a disc with both is read by its ISO 9660 side
    magic(0x8001, b"CD001", c"iso9660"),
    magic(0x8001, b"BEA01", c"udf"),
    magic(0, b"-rom1fs-", c"romfs"),
    magic(0, &[0x45, 0x3d, 0xcd, 0x28], c"cramfs"),
    // behind a boot sector
    magic(512, &[0x45, 0x3d, 0xcd, 0x28], c"cramfs"),
    magic(1024, b"H+\x00\x04", c"hfsplus"),
    magic(1024, b"HX\x00\x05", c"hfsplus"),
    // HFS+ within HFS
    magic(1024 + 124, b"H+", c"hfsplus"),
    magic(82, b"FAT32   ", c"vfat"),
    magic(54, b"FAT16   ", c"vfat"),
    magic(54, b"FAT12   ", c"vfat"),
    magic(1024 + 6, &[0x34, 0x34], c"nilfs2"),
    magic(1024, b"BD", c"hfs"),
    // version 1 with names of 14 and 30 bytes, version 2, version 3
    magic(1024 + 16, &[0x7f, 0x13], c"minix"),
    magic(1024 + 16, &[0x8f, 0x13], c"minix"),
    magic(1024 + 16, &[0x68, 0x24], c"minix"),
    magic(1024 + 16, &[0x78, 0x24], c"minix"),
    magic(1024 + 24, &[0x5a, 0x4d], c"minix"),
];

/// The name of the driver for the image, `None` if nothing known is on it. An error: the image cannot be read.
pub fn probe_fs(disk: &dyn Sectors) -> Result<Option<&'static CStr>, Errno> {
    for m in MAGICS {
        if matches(disk, m)? {
            return Ok(Some(m.fstype));
        }
    }
    Ok(None)
}

/// Whether the file is a qcow2 container, which a server has to read.
pub fn is_qcow2(disk: &dyn Sectors) -> bool {
    matches(disk, &magic(0, b"QFI\xfb", c"")).unwrap_or(false)
}

fn matches(disk: &dyn Sectors, m: &Magic) -> Result<bool, Errno> {
    let mut buf = [0u8; 8];
    let buf = &mut buf[..m.bytes.len()];
    if m.offset + buf.len() as u64 > disk.bytes() {
        return Ok(false);
    }
    disk.read_at(buf, m.offset)?;
    Ok(buf == m.bytes)
}
