// SPDX-License-Identifier: GPL-2.0-only
//! Where the build lives, and the lock that keeps two builds apart.
//!
//! # Safety
//! flock() takes a descriptor that is ours.
#![allow(unsafe_code)]

use crate::Error;
use std::env;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// `target/kernel`: by CARGO_TARGET_DIR, by OUT_DIR (in a build script), else the workspace's.
pub(crate) fn kernel_dir() -> Result<PathBuf, Error> {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(from_out_dir)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    let dir = target.join("kernel");
    fs::create_dir_all(&dir).map_err(|e| Error::io("create", &dir, e))?;
    dir.canonicalize().map_err(|e| Error::io("find", &dir, e))
}

/// cargo marks the top of a target directory with CACHEDIR.TAG.
fn from_out_dir() -> Option<PathBuf> {
    let out = PathBuf::from(env::var_os("OUT_DIR")?);
    out.ancestors().find(|a| a.join("CACHEDIR.TAG").exists()).map(Path::to_path_buf)
}

/// Waits for the lock; it goes when the file is dropped.
pub(crate) fn lock(base: &Path) -> Result<File, Error> {
    let path = base.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| Error::io("open", &path, e))?;
    // SAFETY: flock() on a descriptor we own.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
        return Err(Error::io("lock", &path, std::io::Error::last_os_error()));
    }
    Ok(file)
}
