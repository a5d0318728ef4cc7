// SPDX-License-Identifier: GPL-2.0-only
//! The directory a run works in. Whatever is mounted below it is unmounted, and it is removed, when
//! the value is dropped; what a killed run left behind is removed by the next one.
//!
//! # Safety
//! Calls take constants, paths that end in NUL, and descriptors that are open.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::machine::environment::file_system_of;

const PREFIX: &str = "stowaway-bench.";

/// A locked temporary directory.
pub struct WorkDir {
    path: PathBuf,
    /// Locked as long as this run lives, which tells a live directory from a stale one.
    _lock: File,
}

impl WorkDir {
    /// Below `base`, or below the temporary directory (not one in RAM: native would not be a disk's).
    pub fn create(base: Option<&Path>) -> Result<WorkDir> {
        let base = base.map_or_else(default_base, Path::to_path_buf);
        // Paths go into mount tables and settings: no symbolic links, nothing relative.
        let base = base.canonicalize().with_context(|| format!("{}", base.display()))?;
        remove_stale(&base);
        let path = base.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("{}", path.display()))?;
        let lock = File::create(path.join("lock"))?;
        try_lock(&lock);
        Ok(WorkDir { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Give this process, as root, a mount table of its own: nobody else sees what we mount, and the
/// host forgets it when we and our children are gone, however that comes about.
pub fn own_mount_table() {
    // SAFETY: plain system calls with constant arguments; a failure only means a shared table.
    unsafe {
        if libc::geteuid() == 0 && libc::unshare(libc::CLONE_NEWNS) == 0 {
            let flags = libc::MS_REC | libc::MS_PRIVATE;
            let none = std::ptr::null();
            libc::mount(none, c"/".as_ptr(), none, flags, none.cast());
        }
    }
}

/// Unmount now if nobody uses it, else as soon as nobody does.
pub fn detach(mount_point: &Path) {
    if let Ok(path) = CString::new(mount_point.as_os_str().as_bytes()) {
        // SAFETY: `path` is a valid C string.
        unsafe {
            if libc::umount2(path.as_ptr(), 0) != 0 {
                libc::umount2(path.as_ptr(), libc::MNT_DETACH);
            }
        }
    }
}

fn default_base() -> PathBuf {
    let temp = std::env::temp_dir();
    match file_system_of(&temp).as_str() {
        "tmpfs" | "ramfs" => PathBuf::from("/var/tmp"),
        _ => temp,
    }
}

fn try_lock(file: &File) -> bool {
    // SAFETY: the descriptor is open as long as `file` is borrowed.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

fn remove_stale(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if !entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let stale = match File::open(entry.path().join("lock")) {
            Ok(lock) => try_lock(&lock),
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if stale {
            remove(&entry.path());
        }
    }
}

fn remove(path: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| Path::new(point).starts_with(path)) {
        detach(Path::new(point));
    }
    if let Err(error) = fs::remove_dir_all(path) {
        eprintln!("bench: {}: left behind: {error}", path.display());
    }
}
