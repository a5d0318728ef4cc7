// SPDX-License-Identifier: GPL-2.0-only
//! A word for people who may not do something on an image of their own, where the setting `as` would help: the root directory of an
//! image that mkfs(8) has just made is root's.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::instance::enter::enter_kernel;
use crate::lookup::target::Target;
use crate::sys::call::args;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::host;
use crate::sys::kernel::running;
use crate::sys::report::say;
use crate::sys::settings::settings;

/// What [`explain`] says: a word for all processes of the kernel.
const ROOTS_IMAGE: u32 = 0;

/// After the first EACCES of a call that does not only look, in a mount.
#[cold]
pub fn explain(target: Target) {
    static ASKED: AtomicBool = AtomicBool::new(false);
    let user = host::effective_user();
    if user == 0 || settings().run_as.is_some() || ASKED.swap(true, Ordering::Relaxed) {
        return;
    }
    let mounts = &settings().mounts;
    let is_meant = |index: usize| !matches!(target, Target::Mount(other) if other != index);
    let own = (0..mounts.len())
        .filter(|&index| is_meant(index) && !mounts[index].read_only)
        .find(|&index| is_own_image(index, user) && is_roots(index) == Ok(true));
    let says_first = || running().is_some_and(|kernel| kernel.says_first(ROOTS_IMAGE));
    if let Some(index) = own.filter(|_| says_first()) {
        let path = String::from_utf8_lossy(&mounts[index].path);
        say!("{path}: what is root's there you may not change (EACCES); --as root works on your image as root does");
    }
}

fn is_own_image(index: usize, user: u32) -> bool {
    let mount = &settings().mounts[index];
    let image = mount.image.as_ref().filter(|_| !mount.is_a_servers());
    let status = image.and_then(|image| {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::CString::new(image.as_os_str().as_bytes()).ok()?;
        fs::stat_at(AT_FDCWD, fs::address(&path), 0).ok()
    });
    status.is_some_and(|status| status.st_uid == user)
}

/// Whether the root directory of a mount is root's.
fn is_roots(index: usize) -> Result<bool> {
    let status = fs::filled_stat(|to| {
        enter_kernel(|context| {
            let root = context.mount_root(index)?;
            context.call(libc::SYS_fstat, &args([root, to]))
        })
    })?;
    if status.st_mode & libc::S_IFMT == libc::S_IFDIR {
        Ok(status.st_uid == 0)
    } else {
        Err(Errno::ENOTDIR)
    }
}
