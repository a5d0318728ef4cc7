// SPDX-License-Identifier: GPL-2.0-only
//! /proc/self/exe and its other names: for the host it is the library that the host executed, for the program it is the
//! program.

use std::sync::atomic::{AtomicI32, Ordering};

use once_cell::sync::OnceCell;

use crate::fdtable::{self, Keep};
use crate::sys::decimal::FdPath;
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::identity::Identity;
use crate::sys::scratch::PATH_MAX;

/// What readlink says.
static TARGET: OnceCell<Vec<u8>> = OnceCell::new();
/// The file itself, where it has no name that leads to it (a memfd, a deleted file); else -1.
static FILE: AtomicI32 = AtomicI32::new(-1);

/// Remembers the program: open at `fd`, or, if that is not empty, at this path in a mount. Called once, by the loader.
pub fn set(fd: i32, in_mount: &[u8]) {
    let mut path = vec![0; PATH_MAX];
    let len = if in_mount.is_empty() {
        fs::read_fd_link(fd, &mut path[..PATH_MAX - 1]).unwrap_or(0)
    } else {
        let len = in_mount.len().min(PATH_MAX - 1);
        path[..len].copy_from_slice(&in_mount[..len]);
        len
    };
    if len == 0 {
        return;
    }
    // A NUL stands behind the name.
    if in_mount.is_empty() && !names(&path, fd) {
        FILE.store(fdtable::reserve(fd, Keep::OverFork).unwrap_or(-1), Ordering::Relaxed);
    }
    path.truncate(len);
    let _ = TARGET.set(path);
}

/// Whether the path leads to the file `fd`.
fn names(path: &[u8], fd: i32) -> bool {
    let found = Identity::at(AT_FDCWD, path.as_ptr() as usize, 0);
    found.is_some_and(|found| Some(found) == Identity::of(fd))
}

/// Whether there is anything to say.
#[inline]
pub fn is_known() -> bool {
    TARGET.get().is_some()
}

/// Whether `entry` is the name of the link within a process's directory in /proc.
pub fn is_entry(entry: &[u8]) -> bool {
    is_known() && entry == b"exe"
}

/// What the link says.
pub fn target() -> &'static [u8] {
    TARGET.get().map_or(&[], |path| path)
}

/// Writes a path that leads to the program, NUL-ended; its length.
pub fn write_path(into: &mut [u8; PATH_MAX]) -> usize {
    let descriptor;
    let path = match FILE.load(Ordering::Relaxed) {
        -1 => target(),
        fd => {
            descriptor = FdPath::new(fd as usize);
            descriptor.as_bytes()
        }
    };
    into[..path.len()].copy_from_slice(path);
    into[path.len()] = 0;
    path.len()
}
