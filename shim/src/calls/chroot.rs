// SPDX-License-Identifier: GPL-2.0-only
//! chroot(2). Mounts below the new root have shorter paths from then on, and the others are out of reach.

use crate::exec::library;
use crate::instance::enter::{enter_kernel, set_due, DUE_ROOT};
use crate::instance::keeper;
use crate::lookup::mount_lookup;
use crate::lookup::route::{self, Located, PathArg};
use crate::lookup::target::ResolvedPath;
use crate::process::share;
use crate::sys::call::{args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::kernel::running;
use crate::sys::report::say;
use crate::sys::root;
use crate::sys::scratch::{Scratch, PATH_MAX};
use crate::sys::settings::settings;
use crate::sys::user;

/// In the place of the path of a directory that has none: no mount lies below.
const NOWHERE: &[u8] = b"/(unreachable)";

/// chroot(2)
pub fn chroot(c: &Call<'_>) -> Result {
    if settings().mounts.is_empty() {
        return c.to_host();
    }
    let located = route::locate_by_walk(PathArg::plain(c.args[0], true))?;
    match located.on_host() {
        Some(found) => to_directory_of_host(c, &found),
        None => into_mount(&located),
    }
}

/// The new root is one of the host's.
fn to_directory_of_host(c: &Call<'_>, found: &ResolvedPath) -> Result {
    let mut scratch = Scratch::take()?;
    let prefix = prefix(found, scratch.path())?;
    // What has to be found by the host's old names is found before.
    if fs::access_at(AT_FDCWD, found.path, libc::X_OK).is_ok() {
        mount_below(prefix);
        running().into_iter().for_each(keeper::ensure);
        library::keep();
    }
    let r = c.to_host_with(&args([found.path]))?;
    root::set_on_host(prefix);
    set_due(DUE_ROOT);
    Ok(r)
}

/// The path of the new root, from where the settings name the mounts.
fn prefix<'a>(found: &ResolvedPath, into: &'a mut [u8; PATH_MAX]) -> Result<&'a [u8]> {
    let before = root::host_prefix();
    into[..before.len()].copy_from_slice(before);
    let rest = &mut into[before.len()..PATH_MAX - NOWHERE.len()];
    let mut len = user::read_string(rest, found.path)?;
    if rest[0] != b'/' {
        // The walk began at a directory without a path, and did not begin at all.
        into[..NOWHERE.len()].copy_from_slice(NOWHERE);
        return Ok(&into[..NOWHERE.len()]);
    }
    while let Some(b'/' | b'.') = rest[..len].last().filter(|_| ends_in_itself(&rest[..len])) {
        len -= 1;
    }
    Ok(&into[..before.len() + len])
}

/// Whether the last name of a path is empty or `.`.
fn ends_in_itself(path: &[u8]) -> bool {
    path.ends_with(b"/") || path.ends_with(b"/.")
}

/// Mounts what lies below a directory: the images may be out of the host's reach later.
fn mount_below(prefix: &[u8]) {
    for (index, mount) in settings().mounts.iter().enumerate() {
        if mount_lookup::visible_from(mount, prefix).is_some() {
            // What is wrong with it is said, and the mount is not there.
            let _ = enter_kernel(|context| context.mount_root(index));
        }
    }
}

/// The new root lies in a mount. The kernel library looks absolute paths up from there.
fn into_mount(located: &Located) -> Result {
    enter_kernel(|_| Ok(0))?;
    if !share::can_share() {
        say!("chroot: into a mount only with a kernel that processes share (ENOSYS)");
        return Err(Errno::ENOSYS);
    }
    let r = enter_kernel(|context| {
        let at = located.in_kernel(context)?;
        context.call(lkl::Private::RootAt as i64, &args([at.dirfd, at.path]))
    })?;
    root::set_in_mount();
    Ok(r)
}
