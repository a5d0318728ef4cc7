// SPDX-License-Identifier: GPL-2.0-only
//! What a table of partitions says a partition is for, by the names that fdisk(8) gives.

use std::fmt;

/// The type of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The byte of an MBR.
    Mbr(u8),
    /// The GUID of a GPT, as it stands on the disk: the first three fields are little-endian.
    Gpt([u8; 16]),
}

impl Default for Kind {
    fn default() -> Kind {
        Kind::Mbr(0)
    }
}

/// MBR types that are met (fdisk(8), command `l`).
const MBR: &[(&[u8], &str)] = &[
    (&[0x01], "FAT12"),
    (&[0x04, 0x06, 0x0e], "FAT16"),
    (&[0x07], "NTFS or exFAT"),
    (&[0x0b, 0x0c], "FAT32"),
    (&[0x27], "Windows recovery"),
    (&[0x82], "Linux swap"),
    (&[0x83], "Linux"),
    (&[0x8e], "Linux LVM"),
    (&[0xa5], "FreeBSD"),
    (&[0xa6], "OpenBSD"),
    (&[0xa9], "NetBSD"),
    (&[0xaf], "HFS or HFS+"),
    (&[0xef], "EFI system"),
    (&[0xfd], "Linux RAID"),
];

/// GPT types that are met (UEFI specification, 5.3.3; the Discoverable Partitions Specification).
const GPT: &[(&str, &str)] = &[
    ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"),
    ("21686148-6449-6e6f-744e-656564454649", "BIOS boot"),
    ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data"),
    ("e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"),
    ("de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery"),
    ("0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux"),
    ("4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root (x86-64)"),
    ("b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root (ARM64)"),
    ("933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home"),
    ("bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux boot"),
    ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"),
    ("e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"),
    ("a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"),
    ("ca7d7ccb-63ed-4c53-861c-1742536059cc", "LUKS"),
    ("48465300-0000-11aa-aa11-00306543ecac", "HFS+"),
    ("7c3457ef-0000-11aa-aa11-00306543ecac", "APFS"),
    ("516e7cb6-6ecf-11d6-8ff8-00022d09712b", "FreeBSD UFS"),
];

impl Kind {
    /// The type in a GPT's entry: its first 16 bytes.
    pub(super) fn gpt(entry: &[u8]) -> Kind {
        let mut guid = [0; 16];
        guid.copy_from_slice(&entry[..16]);
        Kind::Gpt(guid)
    }
}

/// A GUID as people write it (RFC 4122), of the bytes on a disk.
struct Guid([u8; 16]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &at) in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].iter().enumerate() {
            write!(f, "{}{:02x}", if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" }, self.0[at])?;
        }
        Ok(())
    }
}

/// What a value is written as, compared with a text, with nothing allocated.
struct Compared<'a>(&'a str);

impl fmt::Write for Compared<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
        Ok(())
    }
}

fn is_written_as(guid: &Guid, text: &str) -> bool {
    use fmt::Write;
    let mut rest = Compared(text);
    write!(rest, "{guid}").is_ok() && rest.0.is_empty()
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Mbr(byte) => match MBR.iter().find(|(bytes, _)| bytes.contains(byte)) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "type {byte:#04x}"),
            },
            Kind::Gpt(bytes) => {
                let guid = Guid(*bytes);
                match GPT.iter().find(|(text, _)| is_written_as(&guid, text)) {
                    Some((_, name)) => f.write_str(name),
                    None => write!(f, "type {guid}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names() {
        let efi =
            [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
        assert_eq!(Kind::gpt(&efi).to_string(), "EFI system");
        assert_eq!(Kind::gpt(&[7; 16]).to_string(), "type 07070707-0707-0707-0707-070707070707");
        assert_eq!(Kind::Mbr(0x0c).to_string(), "FAT32");
        assert_eq!(Kind::Mbr(0x99).to_string(), "type 0x99");
        assert!(GPT.iter().all(|(text, _)| text.len() == 36));
    }
}
