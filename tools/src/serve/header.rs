// SPDX-License-Identifier: GPL-2.0-only
//! The header of a qcow2 image (QEMU's docs/interop/qcow2.txt), as far as it says that we must keep away: the crate
//! that reads the format passes over some of it, and writes to a header before it has read all.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::extent;
pub use super::extent::HEAD_BYTES;

const MAGIC: [u8; 4] = *b"QFI\xfb";
const CRYPT_METHOD: usize = 32;
const INCOMPATIBLE: usize = 72;

/// What the bits of the incompatible features mean to us. The data file's is the one that is understood.
const FEATURES: [(u64, &str); 2] = [
    (1 << 0, "was not closed properly; qemu-img check -r all repairs it"),
    (1 << 1, "is marked as damaged; qemu-img check -r all repairs what it can"),
];
const DATA_FILE: u64 = 1 << 2;
/// Another compression than zlib, and extended L2 entries: QEMU's own server reads those.
const FOR_QEMU: u64 = 1 << 3 | 1 << 4;

/// Whether an open file begins as a qcow2 image does.
pub fn begins(file: &File) -> io::Result<bool> {
    let mut magic = [0; 4];
    match file.read_exact_at(&mut magic, 0) {
        Ok(()) => Ok(magic == MAGIC),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether we can do with the image. `Err` says why not.
pub fn check(file: &File) -> Result<(), String> {
    let system = |error: io::Error| crate::fail::reason(&error);
    let head = head(file).map_err(system)?;
    let refusal = match refusal(&head) {
        Some(why) => Some(why),
        None => extent::refusal(file, &head).map_err(system)?,
    };
    refusal.map_or(Ok(()), Err)
}

/// Whether the image is of the format before qcow2, which QEMU reads.
pub fn is_of_version_1(file: &File) -> io::Result<bool> {
    Ok(head(file)?[4..8] == 1u32.to_be_bytes())
}

/// Whether the qcow2 image has something that only QEMU reads, and nothing that speaks against it.
pub fn is_for_qemu(file: &File) -> io::Result<bool> {
    let head = head(file)?;
    Ok(refusal(&head).is_none() && is_of_version_3(&head) && features(&head) & FOR_QEMU != 0)
}

/// The header. Bytes that the file does not have are zero.
fn head(file: &File) -> io::Result<[u8; HEAD_BYTES]> {
    let mut head = [0; HEAD_BYTES];
    let mut done = 0;
    while done < head.len() {
        match file.read_at(&mut head[done..], done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(head)
}

fn is_of_version_3(head: &[u8; HEAD_BYTES]) -> bool {
    head[4..8] == 3u32.to_be_bytes()
}

fn features(head: &[u8; HEAD_BYTES]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&head[INCOMPATIBLE..INCOMPATIBLE + 8]);
    u64::from_be_bytes(bytes)
}

/// Why an image that begins with `head` is refused, if so. Bytes that the file does not have are zero.
pub fn refusal(head: &[u8; HEAD_BYTES]) -> Option<String> {
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if head[..4] != MAGIC {
        return Some("is no qcow2 image".into());
    }
    let version = word(4);
    if !matches!(version, 2 | 3) {
        return Some(format!("is a qcow2 image of version {version}; known are 2 and 3"));
    }
    if word(CRYPT_METHOD) != 0 {
        return Some("is encrypted; qemu-img convert makes an image without encryption".into());
    }
    if version == 2 {
        return None;
    }
    let features = features(head);
    if let Some((_, why)) = FEATURES.iter().find(|(bit, _)| features & bit != 0) {
        return Some(why.to_string());
    }
    let known = FEATURES.iter().fold(DATA_FILE | FOR_QEMU, |all, (bit, _)| all | bit);
    (features & !known != 0).then(|| format!("has features that Stowaway does not know ({features:#x})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: u8, crypt: u8, features: u8) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&MAGIC);
        (head[7], head[CRYPT_METHOD + 3], head[INCOMPATIBLE + 7]) = (version, crypt, features);
        head
    }

    #[test]
    fn plain_ones_are_taken() {
        for (version, features) in [(2, 0), (3, 0), (3, DATA_FILE as u8), (2, 0xff)] {
            assert_eq!(refusal(&head(version, 0, features)), None, "version {version} {features:#x}");
        }
    }

    #[test]
    fn others_are_refused_with_the_reason() {
        for (version, crypt, features, why) in [
            (1, 0, 0, "version 1"),
            (2, 1, 0, "encrypted"),
            (3, 2, 0, "encrypted"),
            (3, 0, 1, "not closed properly"),
            (3, 0, 2, "damaged"),
            (3, 0, 32, "does not know (0x20)"),
        ] {
            let said = refusal(&head(version, crypt, features)).unwrap();
            assert!(said.contains(why), "{said}");
        }
        assert!(refusal(&[0; HEAD_BYTES]).unwrap().contains("no qcow2 image"));
    }
}
