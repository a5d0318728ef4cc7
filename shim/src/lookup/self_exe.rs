// SPDX-License-Identifier: GPL-2.0-only
//! /proc/self/exe and its other names: for the host it is the library that it executed, for the program it is the
//! program.

use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::fdtable::{self, put_number};
use crate::lookup::route::AT_FDCWD;
use crate::sys::host;
use crate::sys::identity::Identity;
use crate::sys::scratch::PATH_MAX;

/// What readlink says. Written once, before the program starts.
static mut PATH: [u8; PATH_MAX] = [0; PATH_MAX];
static LEN: AtomicUsize = AtomicUsize::new(0);
/// The file itself, where it has no name that leads to it (a memfd, a deleted file); else -1.
static FILE: AtomicI32 = AtomicI32::new(-1);

/// Remembers the program: open at `fd`, or, if that is not empty, at this path in a mount.
pub fn set(fd: i32, in_mount: &[u8]) {
    let path = &raw mut PATH;
    // SAFETY: the process has one thread, and LEN still says that there is nothing to read.
    let into = unsafe { &mut *path };
    let mut link = [0u8; 40];
    let len = if in_mount.is_empty() {
        link[..14].copy_from_slice(b"/proc/self/fd/");
        put_number(&mut link[14..], fd as usize);
        let args = [AT_FDCWD as usize, link.as_ptr() as usize, into.as_mut_ptr() as usize, PATH_MAX - 1];
        host::call(libc::SYS_readlinkat, &args).max(0) as usize
    } else {
        let len = in_mount.len().min(PATH_MAX - 1);
        into[..len].copy_from_slice(&in_mount[..len]);
        len
    };
    into[len] = 0;
    if len != 0 && in_mount.is_empty() && !names(into, fd) {
        FILE.store(fdtable::reserve_copy(fd), Ordering::Relaxed);
    }
    LEN.store(len, Ordering::Release);
}

/// Whether the path leads to the file `fd`.
fn names(path: &[u8; PATH_MAX], fd: i32) -> bool {
    let found = Identity::at(AT_FDCWD as usize, path.as_ptr() as usize, 0);
    found.is_some_and(|found| Some(found) == Identity::of(fd as usize))
}

/// Whether there is anything to say.
#[inline]
pub fn is_known() -> bool {
    LEN.load(Ordering::Acquire) != 0
}

/// Whether the descriptor is the one kept here: a child of fork keeps it.
pub fn is_kept(fd: usize) -> bool {
    FILE.load(Ordering::Relaxed) == fd as i32
}

/// Whether `entry` is the name of the link within a process's directory in /proc.
pub fn is_entry(entry: &[u8]) -> bool {
    is_known() && entry == b"exe"
}

/// What the link says.
pub fn target() -> &'static [u8] {
    // SAFETY: written before LEN was.
    unsafe { core::slice::from_raw_parts((&raw const PATH).cast(), LEN.load(Ordering::Acquire)) }
}

/// Writes a path that leads to the program, NUL-ended; its length.
pub fn way(into: &mut [u8; PATH_MAX]) -> usize {
    match FILE.load(Ordering::Relaxed) {
        -1 => {
            let target = target();
            into[..target.len()].copy_from_slice(target);
            into[target.len()] = 0;
            target.len()
        }
        fd => {
            const START: &[u8] = b"/proc/self/fd/";
            into[..START.len()].copy_from_slice(START);
            put_number(&mut into[START.len()..], fd as usize);
            into.iter().position(|&b| b == 0).unwrap_or(0)
        }
    }
}
