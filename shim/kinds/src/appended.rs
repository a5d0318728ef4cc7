// SPDX-License-Identifier: GPL-2.0-only
//! A file system behind a program or a script: AppImages, installers, firmware.

use crate::Bytes;

const CHUNK: usize = 64 << 10;
/// Further than any start program is long.
const MOST: u64 = 64 << 20;
/// So much of a superblock is looked at.
const HEAD: usize = 32;

/// Words for the file system, and its offset. `start`: the first bytes.
pub fn find(image: &dyn Bytes, start: &[u8]) -> Option<(&'static str, u64)> {
    if !(start.starts_with(b"\x7fELF") || start.starts_with(b"#!")) {
        return None;
    }
    let mut chunk = [0; CHUNK];
    let end = image.size().min(MOST);
    let mut at = 0;
    while at + HEAD as u64 <= end {
        let len = (end - at).min(CHUNK as u64) as usize;
        let chunk = &mut chunk[..len];
        if !image.read(chunk, at) {
            return None;
        }
        if let Some(found) = chunk.windows(HEAD).position(is_squashfs) {
            return Some(("a squashfs", at + found as u64));
        }
        at += (len - HEAD + 1) as u64;
    }
    None
}

/// The mark, and version 4.0 (fs/squashfs/squashfs_fs.h).
fn is_squashfs(head: &[u8]) -> bool {
    head.starts_with(b"hsqs") && head[28..32] == [4, 0, 0, 0]
}
