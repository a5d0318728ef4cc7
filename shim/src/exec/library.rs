// SPDX-License-Identifier: GPL-2.0-only
//! Our own file: what is preloaded, and what is executed to start the loader.

use core::sync::atomic::{AtomicI32, Ordering};

use crate::exec::kept;
use crate::fdtable::{self, Keep};
use crate::sys::fs::{self, OwnedFd, AT_FDCWD};
use crate::sys::identity::Identity;
use crate::sys::settings::is_loader;

/// Opens the library for execveat; None: the library cannot be found any more.
pub fn open() -> Option<OwnedFd> {
    // Preloaded, the library has a path; else the kernel executed the library, and knows the file.
    let path = kept::get().map(|kept| kept.library.as_c_str());
    let path = path.filter(|path| !path.is_empty() && !is_loader());
    let opened = fs::open(path.unwrap_or(c"/proc/self/exe"), libc::O_PATH, 0).ok();
    opened.or_else(|| fs::copy_from(kept()?, 0, true).ok().map(fs::owned))
}

/// The library's file, open, where another root is about to hide its path; 0: it is not.
static KEPT: AtomicI32 = AtomicI32::new(0);

/// The descriptor at which the library is kept open.
pub fn kept() -> Option<i32> {
    Some(KEPT.load(Ordering::Relaxed)).filter(|&fd| fd > 0)
}

/// Keeps the library open, before a chroot.
pub fn keep() {
    if kept().is_some() {
        return;
    }
    if let Some(fd) = open().and_then(|file| fdtable::reserve(file.raw(), Keep::OverFork).ok()) {
        KEPT.store(fd, Ordering::Relaxed);
    }
}

/// The program before the exec has left the library open at this descriptor (0: it has not).
pub fn take_over(fd: usize) {
    if let (1.., Ok(fd)) = (fd, i32::try_from(fd)) {
        if let Ok(own) = fdtable::reserve(fd, Keep::OverFork) {
            KEPT.store(own, Ordering::Relaxed);
        }
        fs::close(fd);
    }
}

/// Whether the library can be preloaded. Without a path to it (a chroot) there is nothing to preload; and LD_PRELOAD takes
/// no path with one of its separators (ld.so(8)).
pub fn can_be_preloaded() -> bool {
    let path = kept::get().map(|kept| kept.library.as_c_str()).filter(|path| !path.is_empty());
    path.is_some_and(|path| {
        let separated = path.to_bytes().iter().any(|byte| matches!(byte, b' ' | b':'));
        !separated && fs::access_at(AT_FDCWD, fs::address(path), libc::R_OK).is_ok()
    })
}

/// Whether two descriptors are of one file.
pub fn is_same(a: i32, b: i32) -> bool {
    Identity::of(a).is_some_and(|a| Some(a) == Identity::of(b))
}
