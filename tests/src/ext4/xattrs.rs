// SPDX-License-Identifier: GPL-2.0-only
//! Extended attributes of an ext4 inode: the space behind the inode's fields, then the attribute block.

use super::{le16, le32, Image, Inode};
use std::io;

const MAGIC: u32 = 0xea02_0000;
const POSIX_ACL_ACCESS: u8 = 2;
const POSIX_ACL_DEFAULT: u8 = 3;

pub(super) fn of(image: &Image, inode: &Inode) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let raw = &inode.raw;
    if raw.len() > 128 {
        let start = 128 + usize::from(le16(raw, 0x80));
        if start + 4 <= raw.len() && le32(raw, start) == MAGIC {
            // Offsets of values count from the first entry, behind the magic.
            parse(&raw[start + 4..], 0, &mut found)?;
        }
    }
    let block = u64::from(le32(raw, 0x68)) | u64::from(le16(raw, 0x76)) << 32;
    if block != 0 {
        // In a block they count from its start; the header takes 32 bytes.
        parse(&image.block(block)?, 32, &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn prefix(index: u8) -> io::Result<&'static str> {
    Ok(match index {
        1 => "user.",
        POSIX_ACL_ACCESS => "system.posix_acl_access",
        POSIX_ACL_DEFAULT => "system.posix_acl_default",
        4 => "trusted.",
        6 => "security.",
        7 => "system.",
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "unknown attribute name space")),
    })
}

fn parse(area: &[u8], first: usize, found: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let mut at = first;
    while at + 16 <= area.len() && le32(area, at) != 0 {
        let (name_length, index) = (usize::from(area[at]), area[at + 1]);
        let (offset, size) = (usize::from(le16(area, at + 2)), le32(area, at + 8) as usize);
        if le32(area, at + 4) != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "attribute in an inode of its own"));
        }
        let name = String::from_utf8_lossy(&area[at + 16..at + 16 + name_length]);
        let mut value = if size == 0 { Vec::new() } else { area[offset..offset + size].to_vec() };
        if index == POSIX_ACL_ACCESS || index == POSIX_ACL_DEFAULT {
            value = acl_as_user_space_sees_it(&value);
        }
        found.push((format!("{}{name}", prefix(index)?), value));
        at += (16 + name_length + 3) & !3;
    }
    Ok(())
}

/// ext4 packs an ACL (version 1, ids only where needed); `getxattr` shows version 2 with an id in each entry.
fn acl_as_user_space_sees_it(disk: &[u8]) -> Vec<u8> {
    const ACL_USER: u16 = 2;
    const ACL_GROUP: u16 = 8;
    let mut seen = 2u32.to_le_bytes().to_vec();
    let mut at = 4;
    while at + 4 <= disk.len() {
        let tag = le16(disk, at);
        seen.extend_from_slice(&disk[at..at + 4]);
        if (tag == ACL_USER || tag == ACL_GROUP) && at + 8 <= disk.len() {
            seen.extend_from_slice(&disk[at + 4..at + 8]);
            at += 8;
        } else {
            seen.extend_from_slice(&u32::MAX.to_le_bytes());
            at += 4;
        }
    }
    seen
}
