// SPDX-License-Identifier: GPL-2.0-only
//! The current directory: whose it is, and how it survives fork and exec when it lies in a mount.
//!
//! A directory in a mount keeps the mount busy. So that a shell that stands in one can let its children have
//! the image, the directory is *left* before a fork: remembered by name and given up. The next kernel section enters it
//! again. The name is also what a child or an exec'ed program gets.

use core::sync::atomic::{AtomicU8, Ordering};
use std::os::unix::ffi::OsStrExt;

use crate::fdtable;
use crate::instance::enter::{clear_due, enter_kernel, is_due, set_due, KernelContext, DUE_CWD};
use crate::lookup::mount_lookup;
use crate::sys::call::args;
use crate::sys::errno::{Errno, Result};
use crate::sys::kernel;
use crate::sys::path_cell::PathCell;
use crate::sys::scratch::{Scratch, PATH_MAX};
use crate::sys::settings::settings;

/// Whose the current directory is (a class of `fdtable`).
static CLASS: AtomicU8 = AtomicU8::new(fdtable::HOST);

/// The directory's name, as long as the directory is left or handed over.
static NAME: PathCell = PathCell::new();

/// Whose the current directory is.
pub fn class() -> u8 {
    CLASS.load(Ordering::Relaxed)
}

/// The current directory was changed to one of this class.
pub fn changed(class: u8) {
    CLASS.store(class, Ordering::Relaxed);
    clear_due(DUE_CWD);
}

/// The directory that the program before the exec stood in (STOWAWAY_CWD): the first section enters it.
pub fn take_over() {
    let Some(cwd) = &settings().cwd else { return };
    CLASS.store(fdtable::KERNEL, Ordering::Relaxed);
    NAME.replace(cwd.as_os_str().as_bytes());
    set_due(DUE_CWD);
}

/// The directory's name, where it lies in a mount of this process or (in a child of fork) of the parent's kernel.
pub fn name() -> Option<&'static [u8]> {
    NAME.get().filter(|_| class() != fdtable::HOST)
}

/// Before a fork or exec: learns the directory's name, if the directory lies in a mount.
pub fn remember() {
    if class() != fdtable::KERNEL || is_due(DUE_CWD) {
        return;
    }
    let Ok(mut scratch) = Scratch::take() else { return };
    let text = scratch.path();
    let args = args([text.as_mut_ptr() as usize, PATH_MAX]);
    let n = enter_kernel(|context| context.call(libc::SYS_getcwd, &args)).unwrap_or(0);
    // The NUL is counted; a directory that was deleted has no absolute name.
    let name = text[..n].strip_suffix(b"\0").filter(|name| name.starts_with(b"/"));
    NAME.replace(name.unwrap_or_default());
}

/// Leaves the directory, to come back. False: it has no name any more (deleted), so it cannot be left.
pub fn leave(context: &mut KernelContext) -> bool {
    if class() != fdtable::KERNEL || is_due(DUE_CWD) {
        return true;
    }
    if NAME.get().is_none() {
        return false;
    }
    let _ = context.call(lkl::Private::LeaveCwd as i64, &[0; 6]);
    set_due(DUE_CWD);
    true
}

/// First thing in a section, where due: back into the directory that was left.
pub fn enter(context: &mut KernelContext) -> Result<()> {
    if !is_due(DUE_CWD) {
        return Ok(());
    }
    let Some(name) = name() else { return Ok(()) };
    let (index, rest) = mount_lookup::find_mount(name).ok_or(Errno::ENOENT)?;
    let root = context.mount_root(index)?;
    let mut path = [0u8; PATH_MAX];
    path[..name.len() - rest].copy_from_slice(&name[rest..]);
    if rest == name.len() {
        path[0] = b'.';
    }
    context.call(lkl::Private::ChdirAt as i64, &args([root, path.as_ptr() as usize]))?;
    clear_due(DUE_CWD);
    Ok(())
}

/// In the child of a fork: a directory of the parent's kernel is out of reach.
pub fn forget_in_child() {
    NAME.reset_in_child();
    if class() == fdtable::KERNEL && kernel::is_lost() {
        CLASS.store(fdtable::LOST, Ordering::Relaxed);
        clear_due(DUE_CWD);
    }
}
