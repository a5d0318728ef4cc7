// SPDX-License-Identifier: GPL-2.0-only
//! Directories of the host that lie where a mount's path is, and can be seen by nobody.
//!
//! Where there is none, the host says ENOENT to a path that changes between host and mount on the way (see `route.rs`). Where there is one, as
//! /mnt on most machines, it says something else. But if the directory is empty, that is still ENOENT for all that lies below
//! it; what is left is the directory itself, which its numbers tell. So a call that only looks is made first,
//! and it is looked then whether the directory is what was found, or is no longer empty.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::sync::OnceCell;

use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::host;
use crate::sys::identity::Identity;

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
pub fn is_doubtful(result: Result, found: Option<Identity>) -> bool {
    let Some(directories) = EMPTY.get() else { return true };
    if matches!(result, Err(Errno::EACCES | Errno::EISDIR)) || CHANGED.load(Ordering::Relaxed) {
        return true;
    }
    if !directories.iter().all(Directory::is_as_it_was) {
        CHANGED.store(true, Ordering::Relaxed);
        return true;
    }
    found.is_some_and(|found| directories.iter().any(|directory| directory.identity == found))
}

fn exists(path: &CString) -> bool {
    fs::access_at(AT_FDCWD, fs::address(path), libc::F_OK).is_ok()
}

/// The directory, if it is one that has nothing in it, and shows everything that it has.
fn empty(path: CString) -> Option<Directory> {
    let stat = fs::stat_at(AT_FDCWD, fs::address(&path), libc::AT_SYMLINK_NOFOLLOW).ok()?;
    let directory = Directory { identity: Identity::of_status(&stat), changed: changed(&stat), path };
    let path = &directory.path;
    let is_directory = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
    let fine =
        is_directory && is_plain(path) && is_settled(&stat) && has_nothing(path) && directory.is_as_it_was();
    fine.then_some(directory)
}

impl Directory {
    fn is_as_it_was(&self) -> bool {
        let now = fs::stat_at(AT_FDCWD, fs::address(&self.path), libc::AT_SYMLINK_NOFOLLOW);
        now.is_ok_and(|now| Identity::of_status(&now) == self.identity && changed(&now) == self.changed)
    }
}

/// The time of the last change, which is another one after every change of what is in the directory.
fn changed(stat: &libc::stat) -> [i64; 2] {
    [stat.st_ctime, stat.st_ctime_nsec]
}

fn is_settled(stat: &libc::stat) -> bool {
    let now = host::time_of_day();
    let ns = |sec: i64, nsec: i64| sec.saturating_mul(1_000_000_000).saturating_add(nsec);
    let age = ns(now.tv_sec, now.tv_nsec).saturating_sub(ns(stat.st_ctime, stat.st_ctime_nsec));
    age > SETTLED_NS
}

/// Of a file system of which it is known that nothing is found in a directory but what is listed there (as in an
/// automounter's), and that changes are seen in its times.
fn is_plain(path: &CStr) -> bool {
    const XFS_SUPER_MAGIC: i64 = 0x5846_5342;
    const PLAIN: [i64; 5] = [
        libc::EXT4_SUPER_MAGIC,
        XFS_SUPER_MAGIC,
        libc::BTRFS_SUPER_MAGIC,
        libc::TMPFS_MAGIC,
        libc::OVERLAYFS_SUPER_MAGIC,
    ];
    fs::statfs(path).is_ok_and(|fs| PLAIN.contains(&fs.f_type))
}

fn has_nothing(path: &CStr) -> bool {
    let (mut names, mut others) = (0, 0);
    let read = fs::for_each_name(path, |name| {
        match name {
            b"." | b".." => names += 1,
            _ => others += 1,
        }
        others == 0
    });
    // At least the two that every directory has: else the directory could not be read.
    read.is_ok() && others == 0 && names == 2
}
