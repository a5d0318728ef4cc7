// SPDX-License-Identifier: GPL-2.0-only
//! What an image is made like, and who reads it: this server (plain, qcow2, packed), or QEMU's own.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::image_file::size;

use super::header;

/// How an image is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// The bytes of the disk.
    Plain,
    /// qcow2, as this server reads it.
    Qcow2,
    /// A format that QEMU reads: the name that QEMU has for it, and whether anybody can write it.
    Qemu { name: &'static str, writable: bool },
    /// The bytes of the disk, packed.
    Packed(Packing),
}

/// How a disk is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    pub fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Xz => "xz",
            Packing::Zstd => "zstd",
        }
    }
}

const fn qemu(name: &'static str) -> Made {
    Made::Qemu { name, writable: true }
}

/// A format of QEMU's by the name that people have for it.
pub fn for_people(name: &'static str) -> &'static str {
    match name {
        "vpc" => "vhd (vpc)",
        name => name,
    }
}

/// Where a mark stands (negative: from the end), the mark, and what it says.
const MARKS: [(i64, &[u8], Made); 13] = [
    (0, b"KDMV", qemu("vmdk")),
    (0, b"COWD", qemu("vmdk")),
    (0, b"# Disk DescriptorFile", qemu("vmdk")),
    (0x40, b"\x7f\x10\xda\xbe", qemu("vdi")),
    (0, b"vhdxfile", qemu("vhdx")),
    (0, b"conectix", qemu("vpc")),
    (-512, b"conectix", qemu("vpc")),
    (0, b"QED\0", qemu("qed")),
    (0, b"WithoutFreeSpace", qemu("parallels")),
    (0, b"WithouFreSpacExt", qemu("parallels")),
    (0, b"\x1f\x8b\x08", Made::Packed(Packing::Gzip)),
    (0, b"\xfd7zXZ\0", Made::Packed(Packing::Xz)),
    (0, b"\x28\xb5\x2f\xfd", Made::Packed(Packing::Zstd)),
];

/// Compressed grains of a VMDK image (stream optimised): bit 16 of the flags, little-endian, at 8.
const VMDK_COMPRESSED: u8 = 1;
const VMDK_FLAGS: u64 = 8 + 2;

/// How the image is made, as far as it says so itself.
pub fn of(file: &File) -> io::Result<Made> {
    if header::begins(file)? {
        if header::is_of_version_1(file)? {
            return Ok(qemu("qcow"));
        }
        return Ok(if header::is_for_qemu(file)? { qemu("qcow2") } else { Made::Qcow2 });
    }
    let size = size(file)?;
    for (at, mark, made) in MARKS {
        let at = if at < 0 { size.checked_add_signed(at) } else { Some(at as u64) };
        let mut found = [0; 24];
        let found = &mut found[..mark.len()];
        if at.is_some_and(|at| file.read_exact_at(found, at).is_ok()) && found == mark {
            return Ok(if mark == b"KDMV" { vmdk(file) } else { made });
        }
    }
    Ok(Made::Plain)
}

fn vmdk(file: &File) -> Made {
    let mut flags = [0];
    let compressed = file.read_exact_at(&mut flags, VMDK_FLAGS).is_ok() && flags[0] & VMDK_COMPRESSED != 0;
    Made::Qemu { name: "vmdk", writable: !compressed }
}

/// How the image at a path is made; None: it cannot be read.
pub fn at(path: &Path) -> Option<Made> {
    File::open(path).and_then(|file| of(&file)).ok()
}

/// Whether the image at a path can only be read, whoever has it: packed, or a format of which no writer is known.
pub fn is_only_read(path: &Path) -> bool {
    at(path).is_some_and(Made::is_read_only)
}

impl Made {
    /// Whether a server is needed to read it.
    pub fn is_served(self) -> bool {
        self != Made::Plain
    }

    /// Whether it can only be read.
    pub fn is_read_only(self) -> bool {
        matches!(self, Made::Packed(_) | Made::Qemu { writable: false, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(at: usize, mark: &[u8], size: usize) -> Made {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size as u64).unwrap();
        file.write_all_at(mark, at as u64).unwrap();
        of(&file).unwrap()
    }

    #[test]
    fn marks_are_found() {
        for (at, mark, expected) in MARKS {
            let at = if at < 0 { 4096 + at } else { at } as usize;
            assert_eq!(made(at, mark, 4096), expected);
        }
        assert_eq!(made(0, b"", 0), Made::Plain);
        assert_eq!(made(0, b"KDM", 3), Made::Plain);
        assert_eq!(
            made(0, b"KDMV\x03\0\0\0\x03\0\x01\0", 4096),
            Made::Qemu { name: "vmdk", writable: false }
        );
        assert_eq!(made(0, b"QFI\xfb\0\0\0\x03", 4096), Made::Qcow2);
        assert_eq!(made(0, b"QFI\xfb\0\0\0\x01", 4096), qemu("qcow"));
    }
}
