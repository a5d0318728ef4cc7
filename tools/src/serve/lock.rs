// SPDX-License-Identifier: GPL-2.0-only
//! Who may use an image: one who writes, or those who read. QEMU's programs are told, too: they lock single bytes of an
//! image, one for each thing they do and one for each that they do not want others to do (its block/file-posix.c).

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::sys;

/// Where QEMU says what it does, and what others must not do.
const DOES: i64 = 100;
const DENIES: i64 = 200;
/// Bits of both.
const WRITE: i64 = 1;
const RESIZE: i64 = 3;

/// Locks the image as one who writes or who reads; false: it is in use in a way that does not allow it. The lock lasts as
/// long as the open file.
pub fn lock(file: &File, read_only: bool) -> io::Result<bool> {
    if !read_only {
        // In the way of everybody's locks, and they of it.
        return sys::lock(file, libc::F_WRLCK, 0, 0);
    }
    for bit in [WRITE, RESIZE] {
        if !sys::lock(file, libc::F_RDLCK, DENIES + bit, 1)? || !sys::is_free(file, DOES + bit, 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Who is in the way, for a message: `pid N`, or `another process`.
pub fn holder(file: &File) -> String {
    let found = file.metadata().ok().and_then(|meta| find((meta.dev(), meta.ino())));
    found.map_or("another process".to_string(), |pid| format!("pid {pid}"))
}

/// A lock of an open file has no pid: all processes that we may look into are searched for a descriptor that has one.
fn find(wanted: (u64, u64)) -> Option<u32> {
    let own = std::process::id();
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        (pid != own && holds(&entry.path(), wanted)).then_some(pid)
    })
}

fn holds(process: &std::path::Path, wanted: (u64, u64)) -> bool {
    let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|entry| {
        let same = std::fs::metadata(entry.path()).is_ok_and(|meta| (meta.dev(), meta.ino()) == wanted);
        same && is_locked(process.join("fdinfo").join(entry.file_name()))
    })
}

fn is_locked(info: PathBuf) -> bool {
    std::fs::read_to_string(info).is_ok_and(|text| text.lines().any(|line| line.starts_with("lock:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_or_all_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("image");
        File::create(&path).unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let (a, b) = (open(), open());
        assert!(lock(&a, false).unwrap());
        assert!(!lock(&b, false).unwrap() && !lock(&b, true).unwrap());
        drop(a);
        let c = open();
        assert!(lock(&b, true).unwrap() && lock(&c, true).unwrap());
        assert!(!lock(&open(), false).unwrap());
    }

    #[test]
    fn qemus_writer_is_in_the_way_and_its_reader_is_not() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("image");
        File::create(&path).unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        // one that reads, and does not want others to write
        let reader = open();
        for byte in [DOES, DENIES + WRITE, DENIES + RESIZE] {
            assert!(sys::lock(&reader, libc::F_RDLCK, byte, 1).unwrap());
        }
        assert!(lock(&open(), true).unwrap() && !lock(&open(), false).unwrap());
        let writer = open();
        assert!(sys::lock(&writer, libc::F_RDLCK, DOES + WRITE, 1).unwrap());
        assert!(!lock(&open(), true).unwrap() && !lock(&open(), false).unwrap());
    }
}
