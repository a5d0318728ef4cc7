// SPDX-License-Identifier: GPL-2.0-only
//! Sites found once need not be looked for again: a file for each module in the user's cache directory, named by the
//! module's build-id.
//!
//! A cache may be wrong, and must not do harm: it is read only if the user alone can write it, whole and intact; and each
//! site is used only where the code's bytes are those that the decision was based on. Failures are silent: they cost
//! the search.

use std::ffi::CString;

use crate::gate::gate;
use crate::rewrite::maps::{self, AT_FDCWD};
use crate::rewrite::tactic::{Shape, Tactic, WINDOW_MAX};

/// Changes with the format, and with what [`crate::rewrite::tactic`] decides.
const MAGIC: &[u8; 8] = b"STOWSI\0\x04";
/// Bytes around a site that are kept: its window, with the `syscall`.
pub const SPAN_MAX: usize = 24;
const _: () = assert!(WINDOW_MAX <= SPAN_MAX);
const HEAD: usize = 16;
const RECORD: usize = 16 + SPAN_MAX;
/// Larger files are none of ours.
const FILE_MAX: usize = 1 << 20;

/// A decision, and what it was based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The decision.
    pub tactic: Tactic,
    /// The bytes of its span.
    pub bytes: [u8; SPAN_MAX],
}

impl Known {
    /// What of `bytes` counts.
    pub fn span(&self) -> &[u8] {
        &self.bytes[..self.tactic.span_len()]
    }
}

/// Where the files are, of `XDG_CACHE_HOME` and `HOME` in the environment (XDG Base Directory Specification).
pub fn directory(cache_home: Option<&[u8]>, home: Option<&[u8]>) -> Option<Vec<u8>> {
    let absolute = |path: &&[u8]| path.starts_with(b"/");
    let base = match cache_home.filter(absolute) {
        Some(cache_home) => cache_home.to_vec(),
        None => [home.filter(absolute)?, b"/.cache"].concat(),
    };
    Some([&base, b"/stowaway/sites".as_slice()].concat())
}

/// The sites of the module `build_id`, mapped `bias` from where it was linked.
pub fn load(directory: &[u8], build_id: &[u8], bias: u64) -> Option<Vec<Known>> {
    let path = path_of(directory, build_id, "")?;
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK) as usize;
    let file = call(libc::SYS_openat, [AT_FDCWD, path.as_ptr() as usize, flags, 0])?;
    let text = is_trusted(file).then(|| maps::read_all(file)).flatten();
    let _ = call(libc::SYS_close, [file, 0, 0, 0]);
    parse(&text?, build_id, bias)
}

/// Keeps `sites` for the next time.
pub fn save(directory: &[u8], build_id: &[u8], bias: u64, sites: &[Known]) -> Option<()> {
    let text = format(build_id, bias, sites);
    if text.len() > FILE_MAX {
        return None;
    }
    make_directories(directory);
    // SAFETY: getpid takes nothing.
    let own = unsafe { gate(libc::SYS_getpid, &[0; 6]) };
    let (path, new) = (path_of(directory, build_id, "")?, path_of(directory, build_id, &format!(".{own}"))?);
    let flags = (libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC | libc::O_NOFOLLOW) as usize;
    let file = call(libc::SYS_openat, [AT_FDCWD, new.as_ptr() as usize, flags, 0o600])?;
    let written = call(libc::SYS_write, [file, text.as_ptr() as usize, text.len(), 0]) == Some(text.len());
    let _ = call(libc::SYS_close, [file, 0, 0, 0]);
    // Whole, or not at all.
    let renamed =
        written && call(libc::SYS_rename, [new.as_ptr() as usize, path.as_ptr() as usize, 0, 0]).is_some();
    if !renamed {
        let _ = call(libc::SYS_unlink, [new.as_ptr() as usize, 0, 0, 0]);
    }
    renamed.then_some(())
}

fn call(number: i64, args: [usize; 4]) -> Option<usize> {
    // SAFETY: the calls above: descriptors that are ours, buffers and paths that live, ended by NUL.
    let got = unsafe { gate(number, &[args[0], args[1], args[2], args[3], 0, 0]) };
    usize::try_from(got).ok()
}

fn path_of(directory: &[u8], build_id: &[u8], suffix: &str) -> Option<CString> {
    if !(8..=64).contains(&build_id.len()) {
        return None;
    }
    let name: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
    CString::new([directory, b"/", name.as_bytes(), suffix.as_bytes()].concat()).ok()
}

/// Whether it is a file of a plausible size that nobody but the user can have written.
fn is_trusted(file: usize) -> bool {
    // SAFETY: all zeroes are a valid stat.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    let got = call(libc::SYS_fstat, [file, &raw mut status as usize, 0, 0]);
    let user = call(libc::SYS_geteuid, [0; 4]);
    got.is_some()
        && user == Some(status.st_uid as usize)
        && status.st_mode & libc::S_IFMT == libc::S_IFREG
        && status.st_mode & 0o022 == 0
        && (0..=FILE_MAX as i64).contains(&status.st_size)
}

/// Those that are missing at the end of `path`.
fn make_directories(path: &[u8]) {
    let ends = (1..path.len()).filter(|&at| path[at] == b'/').chain([path.len()]);
    for end in ends {
        let Ok(part) = CString::new(&path[..end]) else { return };
        let _ = call(libc::SYS_mkdir, [part.as_ptr() as usize, 0o700, 0, 0]);
    }
}

fn format(build_id: &[u8], bias: u64, sites: &[Known]) -> Vec<u8> {
    let mut text = MAGIC.to_vec();
    text.extend((sites.len() as u32).to_le_bytes());
    text.extend((build_id.len() as u32).to_le_bytes());
    text.extend(build_id);
    for Known { tactic, bytes } in sites {
        text.extend(tactic.start.wrapping_sub(bias).to_le_bytes());
        text.extend([tactic.before_len() as u8, tactic.len, tactic.shape as u8, u8::from(tactic.plain)]);
        text.extend(tactic.inner.to_le_bytes());
        text.extend(bytes);
    }
    text.extend(crc32(&text).to_le_bytes());
    text
}

fn parse(text: &[u8], build_id: &[u8], bias: u64) -> Option<Vec<Known>> {
    let (body, sum) = text.split_last_chunk::<4>()?;
    if !body.starts_with(MAGIC) || crc32(body).to_le_bytes() != *sum {
        return None;
    }
    let word = |at: usize| Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?) as usize);
    let (count, id_len) = (word(8)?, word(12)?);
    let records = body.get(HEAD..)?.strip_prefix(build_id)?;
    if id_len != build_id.len() || records.len() != count.checked_mul(RECORD)? {
        return None;
    }
    records.chunks_exact(RECORD).map(|record| parse_record(record, bias)).collect()
}

fn parse_record(record: &[u8], bias: u64) -> Option<Known> {
    let start = u64::from_le_bytes(record.get(..8)?.try_into().ok()?).wrapping_add(bias);
    let [before, len, shape, plain @ (0 | 1)] = *record.get(8..12)? else { return None };
    let shape =
        [Shape::Single, Shape::Before, Shape::Through, Shape::Behind].into_iter().nth(shape.into())?;
    let inner = u32::from_le_bytes(record.get(12..16)?.try_into().ok()?);
    let tactic =
        Tactic { shape, start, len, syscall: start.checked_add(before.into())?, inner, plain: plain == 1 };
    let fits = tactic.span_len() <= SPAN_MAX && usize::from(len) <= WINDOW_MAX && len >= 5;
    fits.then_some(Known { tactic, bytes: record.get(16..)?.try_into().ok()? })
}

/// For [`crc32`]: what a byte adds, followed by as many zeroes as the table's index.
const CRC_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 * 8 {
        let (zeroes, byte) = (index / 256, index % 256);
        let mut value = if zeroes == 0 { byte as u32 } else { tables[zeroes - 1][byte] };
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ (0xedb8_8320 * (value & 1));
            bit += 1;
        }
        tables[zeroes][byte] = value;
        index += 1;
    }
    tables
};

/// CRC-32 as in IEEE 802.3, zip and png; eight bytes at a time.
fn crc32(bytes: &[u8]) -> u32 {
    let words = bytes.chunks_exact(8);
    let rest = words.remainder();
    let byte = |sum: u32, &byte: &u8| (sum >> 8) ^ CRC_TABLES[0][usize::from(sum as u8 ^ byte)];
    let word = |sum: u32, word: &[u8]| {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        let mixed = (word ^ u64::from(sum)).to_le_bytes();
        let parts = mixed.iter().zip(CRC_TABLES.iter().rev());
        parts.fold(0, |sum, (&byte, table)| sum ^ table[usize::from(byte)])
    };
    !rest.iter().fold(words.fold(!0, word), byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &[u8] = b"0123456789abcdefghij";

    fn sites() -> Vec<Known> {
        let known = |index: u64| {
            let (start, shape) =
                (0x7f00_0000 + index * 100, if index % 2 == 0 { Shape::Single } else { Shape::Before });
            let tactic = Tactic {
                shape,
                start,
                len: 7,
                syscall: start + 7,
                inner: (index % 2 * 0x20) as u32,
                plain: index % 3 == 0,
            };
            Known { tactic, bytes: [index as u8; SPAN_MAX] }
        };
        (0..100).map(known).collect()
    }

    #[test]
    fn what_is_written_is_read_elsewhere() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
        let text = format(ID, 0x7000_0000, &sites());
        assert_eq!(parse(&text, ID, 0x7000_0000), Some(sites()));
        let moved = parse(&text, ID, 0x1000).expect("the same sites");
        assert_eq!(moved[1].tactic.start, 0x0f00_1000 + 100);
    }

    #[test]
    fn what_is_damaged_is_not_read() {
        let text = format(ID, 0, &sites());
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 0x10;
            assert_eq!(parse(&damaged, ID, 0), None, "byte {at}");
        }
        for len in 0..text.len() {
            assert_eq!(parse(&text[..len], ID, 0), None, "cut at {len}");
        }
        assert_eq!(parse(&text, b"another id of 20 byt", 0), None);
        assert_eq!(parse(&text, b"0123456789abcdefghi", 0), None);
    }

    #[test]
    fn directories_are_as_the_specification_says() {
        let directory =
            |cache, home| directory(cache, home).map(|path| String::from_utf8(path).expect("text"));
        assert_eq!(directory(Some(b"/c"), Some(b"/h")).as_deref(), Some("/c/stowaway/sites"));
        assert_eq!(directory(Some(b"c"), Some(b"/h")).as_deref(), Some("/h/.cache/stowaway/sites"));
        assert_eq!(directory(None, Some(b"/h")).as_deref(), Some("/h/.cache/stowaway/sites"));
        assert_eq!(directory(None, None), None);
    }

    #[test]
    fn files_of_others_are_not_read() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::PermissionsExt;
        let place = std::env::temp_dir().join(format!("sites-{}", std::process::id()));
        let directory = place.join("deep/sites").as_os_str().as_bytes().to_vec();
        assert_eq!(load(&directory, ID, 0), None);
        assert_eq!(save(&directory, ID, 0, &sites()), Some(()));
        assert_eq!(load(&directory, ID, 0), Some(sites()));
        let files = || {
            std::fs::read_dir(place.join("deep/sites"))
                .expect("the directory")
                .map(|file| file.expect("a file"))
        };
        assert_eq!(files().count(), 1, "nothing is left over");
        let file = files().next().expect("the file").path();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o620)).expect("chmod");
        assert_eq!(load(&directory, ID, 0), None);
        // Put right by the next one that searches.
        assert_eq!(save(&directory, ID, 0, &sites()), Some(()));
        assert_eq!(load(&directory, ID, 0), Some(sites()));
        std::fs::remove_dir_all(place).expect("removed");
    }
}
