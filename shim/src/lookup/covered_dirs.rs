// SPDX-License-Identifier: GPL-2.0-only
//! Directories of the host that lie where a mount's path is, and can be seen by nobody.
//!
//! Where there is none, the host says ENOENT to a path that changes worlds on the way (see `path.rs`). Where there is one, as
//! /mnt on most machines, it says something else. But if the directory is empty, that is still ENOENT for all that lies below
//! it; what is left is the directory itself, which its numbers tell. So a call that only looks is made first,
//! and it is looked then whether the directory is what was found, or is no longer empty.
#![allow(unsafe_code)]

use crate::sys::errno::{EACCES, EISDIR};
use crate::sys::host::{self, Ret};
use crate::sys::identity::{status, Identity};
use once_cell::sync::OnceCell;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

const CWD: usize = libc::AT_FDCWD as usize;
/// A change this soon after another may leave the same time behind: several ticks of any host's clock.
const SETTLED_NS: i64 = 50_000_000;
/// Each is looked at after each call: with more of them a walk is as good.
const MOST: usize = 2;

struct Directory {
    path: CString,
    identity: Identity,
    changed: [i64; 2],
}

/// Those in the way, if all of them were empty when the process began.
static EMPTY: OnceCell<Vec<Directory>> = OnceCell::new();
/// One has changed since.
static CHANGED: AtomicBool = AtomicBool::new(false);

/// At the start: whether a mount's path exists on the host.
pub fn find<'a>(mounts: impl Iterator<Item = &'a [u8]>) -> bool {
    let paths: Vec<CString> = mounts.filter_map(|path| CString::new(path).ok()).filter(exists).collect();
    if paths.is_empty() {
        return false;
    }
    let empty: Option<Vec<Directory>> = paths.into_iter().map(empty).collect();
    if let Some(empty) = empty.filter(|empty| empty.len() <= MOST) {
        let _ = EMPTY.set(empty);
    }
    true
}

/// Whether a look at the host is worth a try.
pub fn is_empty() -> bool {
    EMPTY.get().is_some() && !CHANGED.load(Ordering::Relaxed)
}

/// After a look at the host: `result` may be another one in the mount. `found`: what was found.
pub fn is_doubtful(result: Ret, found: Option<Identity>) -> bool {
    let Some(directories) = EMPTY.get() else { return true };
    if result == EACCES || result == EISDIR || CHANGED.load(Ordering::Relaxed) {
        return true;
    }
    if !directories.iter().all(Directory::is_as_it_was) {
        CHANGED.store(true, Ordering::Relaxed);
        return true;
    }
    found.is_some_and(|found| directories.iter().any(|directory| directory.identity == found))
}

fn exists(path: &CString) -> bool {
    host::call(libc::SYS_faccessat, &[CWD, path.as_ptr() as usize, libc::F_OK as usize]) == 0
}

/// The directory, if it is one that has nothing in it, and shows everything that it has.
fn empty(path: CString) -> Option<Directory> {
    let at = path.as_ptr() as usize;
    let stat = status(CWD, at, libc::AT_SYMLINK_NOFOLLOW as usize)?;
    let directory = Directory { identity: Identity::of_status(&stat), changed: changed(&stat), path };
    let is_directory = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
    let fine =
        is_directory && is_plain(at) && is_settled(&stat) && has_nothing(at) && directory.is_as_it_was();
    fine.then_some(directory)
}

impl Directory {
    fn is_as_it_was(&self) -> bool {
        let now = status(CWD, self.path.as_ptr() as usize, libc::AT_SYMLINK_NOFOLLOW as usize);
        now.is_some_and(|now| Identity::of_status(&now) == self.identity && changed(&now) == self.changed)
    }
}

/// The time of the last change, which is another one after every change of what is in the directory.
fn changed(stat: &libc::stat) -> [i64; 2] {
    [stat.st_ctime, stat.st_ctime_nsec]
}

fn is_settled(stat: &libc::stat) -> bool {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let clock = libc::CLOCK_REALTIME as usize;
    host::call(libc::SYS_clock_gettime, &[clock, &raw mut now as usize]);
    let ns = |sec: i64, nsec: i64| sec.saturating_mul(1_000_000_000).saturating_add(nsec);
    let age = ns(now.tv_sec, now.tv_nsec).saturating_sub(ns(stat.st_ctime, stat.st_ctime_nsec));
    age > SETTLED_NS
}

/// Of a file system of which it is known that nothing is found in a directory but what is listed there (as in an
/// automounter's), and that changes are seen in its times.
fn is_plain(path: usize) -> bool {
    const XFS_SUPER_MAGIC: i64 = 0x5846_5342;
    const PLAIN: [i64; 5] = [
        libc::EXT4_SUPER_MAGIC,
        XFS_SUPER_MAGIC,
        libc::BTRFS_SUPER_MAGIC,
        libc::TMPFS_MAGIC,
        libc::OVERLAYFS_SUPER_MAGIC,
    ];
    let mut fs = MaybeUninit::<libc::statfs>::zeroed();
    let r = host::call(libc::SYS_statfs, &[path, fs.as_mut_ptr() as usize]);
    // SAFETY: filled; and all zeroes is a valid one.
    r == 0 && PLAIN.contains(&unsafe { fs.assume_init() }.f_type)
}

fn has_nothing(path: usize) -> bool {
    let flags = (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as usize;
    let fd = host::call(libc::SYS_openat, &[CWD, path, flags]);
    if fd < 0 {
        return false;
    }
    // d_ino and d_off; then the length of the entry, its type and its name.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut entries = [0u8; 1024];
    let n = host::call(
        libc::SYS_getdents64,
        &[fd as usize, entries.as_mut_ptr() as usize, size_of_val(&entries)],
    );
    host::close(fd as i32);
    let mut rest = usize::try_from(n).ok().and_then(|n| entries.get(..n)).unwrap_or_default();
    let mut names = 0;
    while let Some(&[low, high]) = rest.get(LENGTH..LENGTH + 2) {
        let entry = &rest[..usize::from(u16::from_ne_bytes([low, high])).clamp(1, rest.len())];
        match entry.get(NAME..) {
            Some([b'.', 0, ..] | [b'.', b'.', 0, ..]) => names += 1,
            _ => return false,
        }
        rest = &rest[entry.len()..];
    }
    // At least the two that every directory has: else it could not be read.
    names == 2
}
