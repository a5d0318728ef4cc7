// SPDX-License-Identifier: GPL-2.0-only
//! The current directory: whose it is, and how it survives fork and exec when it lies in a mount.
//!
//! A directory in a mount keeps the mount busy. So that a shell that stands in one can let its children have
//! the image, it is *parked* before a fork: remembered by name and left; the next kernel section enters it
//! again. The name is also what a child or an exec'ed program gets.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::os::unix::ffi::OsStrExt;

use crate::fdtable;
use crate::instance::boot;
use crate::instance::enter::{section, Door};
use crate::lookup::mount_lookup;
use crate::sys::errno::ENOENT;
use crate::sys::host::Ret;
use crate::sys::scratch::PATH_MAX;
use crate::sys::settings::settings;

/// Whose the current directory is (a class of `fd`).
static CLASS: AtomicU8 = AtomicU8::new(fdtable::HOST);
/// The kernel is to be told before the next call.
static PARKED: AtomicBool = AtomicBool::new(false);
/// The directory's name, as long as it is parked or handed over. Written by the thread that forks or boots.
static mut NAME: [u8; PATH_MAX] = [0; PATH_MAX];
static NAME_LEN: AtomicUsize = AtomicUsize::new(0);

/// Whose the current directory is.
pub fn class() -> u8 {
    CLASS.load(Ordering::Relaxed)
}

/// It was changed to a directory of this world.
pub fn changed(class: u8) {
    CLASS.store(class, Ordering::Relaxed);
    PARKED.store(false, Ordering::Relaxed);
}

/// The directory that the program before the exec stood in (STOWAWAY_CWD): the kernel's, once it is booted.
pub fn hand_over() {
    if settings().cwd.is_some() {
        CLASS.store(fdtable::KERNEL, Ordering::Relaxed);
    }
}

/// At boot: the directory handed over is entered by the first section. (A child of fork has parked its own.)
pub fn boot() {
    if is_parked() {
        return;
    }
    let Some(cwd) = settings().cwd.as_ref().filter(|_| class() == fdtable::KERNEL) else { return };
    let bytes = cwd.as_os_str().as_bytes();
    if bytes.len() < PATH_MAX {
        // SAFETY: under the lock of the boot; nobody else runs in the kernel yet.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut NAME).cast(), bytes.len()) };
        NAME_LEN.store(bytes.len(), Ordering::Relaxed);
        PARKED.store(true, Ordering::Release);
    }
}

/// Its name, where it lies in a mount of this process or (in a child of fork) of the parent's kernel.
pub fn name() -> Option<&'static [u8]> {
    let len = NAME_LEN.load(Ordering::Relaxed);
    // SAFETY: the bytes below NAME_LEN change only in `remember`, which the forking thread runs.
    (len != 0 && class() != fdtable::HOST)
        .then(|| unsafe { core::slice::from_raw_parts((&raw const NAME).cast(), len) })
}

/// Before a fork or exec: learns the directory's name, if it lies in a mount.
pub fn remember() {
    if class() != fdtable::KERNEL || PARKED.load(Ordering::Relaxed) {
        return;
    }
    let args = [&raw mut NAME as usize, PATH_MAX, 0, 0, 0, 0];
    let n = section(|door| door.call(libc::SYS_getcwd, &args));
    // SAFETY: this thread just wrote it.
    let absolute = n > 1 && unsafe { NAME[0] } == b'/';
    NAME_LEN.store(if absolute { n as usize - 1 } else { 0 }, Ordering::Relaxed);
}

/// Leaves it, to come back. False: it has no name any more (deleted), so it cannot be left.
pub fn park(door: &mut Door<'_>) -> bool {
    if class() != fdtable::KERNEL || PARKED.load(Ordering::Relaxed) {
        return true;
    }
    if NAME_LEN.load(Ordering::Relaxed) == 0 {
        return false;
    }
    door.call(lkl::Private::LeaveCwd as i64, &[0; 6]);
    PARKED.store(true, Ordering::Release);
    true
}

/// Whether [`enter`] is due.
#[inline]
pub fn is_parked() -> bool {
    PARKED.load(Ordering::Relaxed)
}

/// First thing in a section: back into the directory that was parked.
pub fn enter(door: &mut Door<'_>) -> Result<(), Ret> {
    let Some(name) = name() else { return Ok(()) };
    let (index, rest) = mount_lookup::find_mount(name).ok_or(ENOENT)?;
    let root = door.mount_root(index)? as usize;
    let mut path = [0u8; PATH_MAX];
    path[..name.len() - rest].copy_from_slice(&name[rest..]);
    if rest == name.len() {
        path[0] = b'.';
    }
    let r = door.call(lkl::Private::ChdirAt as i64, &[root, path.as_ptr() as usize, 0, 0, 0, 0]);
    if r < 0 {
        return Err(r);
    }
    PARKED.store(false, Ordering::Relaxed);
    Ok(())
}

/// In the child of a fork whose kernel is the parent's.
pub fn after_fork() {
    if class() == fdtable::KERNEL && boot::is_lost() {
        CLASS.store(fdtable::LOST, Ordering::Relaxed);
        PARKED.store(false, Ordering::Relaxed);
    }
}
