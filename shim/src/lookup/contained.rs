// SPDX-License-Identifier: GPL-2.0-only
//! openat2's RESOLVE_ flags for a path that may change between host and mount on its way.
//!
//! Each kernel keeps the flags as long as it walks alone: the call is handed on as it is then, and what it says is final.
//! Where the path may meet the border, the path is walked in strings first, under the same rules (`resolve.rs`). What that
//! walk found is opened from its own side with RESOLVE_NO_SYMLINKS and below a directory that cannot be left. So a
//! symlink that is changed meanwhile makes the call fail, and leads nowhere.

use crate::fdtable::{self, Owner};
use crate::instance::enter::{enter_kernel, KernelContext};
use crate::lookup::directory::path_of;
use crate::lookup::resolve::{self, End};
use crate::lookup::route::PathArg;
use crate::lookup::rules::Rules;
use crate::lookup::target::{FinalComponent, KernelPath, ResolvedPath, Target};
use crate::lookup::{cwd, mount_lookup};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::root;
use crate::sys::scratch::{Scratch, PATH_MAX};
use crate::sys::user;

/// Whether a name with a slash behind ends the path: what is to be made there is refused before a symlink is followed.
fn ends_in_slash(path: &[u8]) -> bool {
    path.strip_suffix(b"/").is_some_and(|name| !name.ends_with(b".."))
}

/// Opens a path under rules, or makes it (`creates`). `on_host` and `in_kernel` get the place, and the `resolve` flags to open the place with.
pub fn with_contained_path(
    asked: PathArg,
    resolve: u64,
    creates: bool,
    mut on_host: impl FnMut(&ResolvedPath, u64) -> Result,
    mut in_kernel: impl FnMut(&mut KernelContext, KernelPath, u64) -> Result,
) -> Result {
    let rules = Rules::new(resolve);
    let dirfd = asked.dirfd as i32;
    let given = ResolvedPath { target: Target::Host, dirfd, path: asked.path };
    let mut enter = |at: &ResolvedPath, flags: u64| {
        enter_kernel(|context| {
            let at = at.in_kernel(context)?;
            in_kernel(context, at, flags)
        })
    };
    let mut scratch = Scratch::take()?;
    let read = user::read_string(scratch.path(), asked.path);
    let begins_at_root = read.is_ok() && scratch.path()[0] == b'/' && !rules.have_root();
    let base = match begins_at_root {
        true if root::is_in_mount() => {
            return enter(&ResolvedPath { target: Target::Kernel, ..given }, resolve)
        }
        true => Owner::Host,
        false => owner_of(dirfd)?,
    };
    // The side of the directory says what is wrong with the path.
    let len = read.unwrap_or(0);
    let mut alone = Ok(0);
    if base == Owner::Kernel {
        alone = enter(&ResolvedPath { target: Target::Kernel, ..given }, resolve);
        if alone != Err(Errno::EXDEV) || rules.are_scoped() || rules.keep_mount() {
            return alone;
        }
    } else if len == 0 || rules.are_scoped() && (begins_at_root || !has_mounts_below(&mut scratch, dirfd)) {
        return on_host(&given, resolve);
    }
    let last =
        if creates && ends_in_slash(&scratch.path()[..len]) { FinalComponent::Parent } else { asked.last };
    let Some(walk) = resolve::resolve_within(&mut scratch, len, dirfd, last, rules) else {
        return if base == Owner::Host { on_host(&given, resolve) } else { alone };
    };
    let host_alone = base == Owner::Host && !walk.crossed;
    let found = match walk.end {
        // The host sees its own mounts as well, and what it meets first is what it says: the border to /proc before a
        // symlink in there.
        End::Refused(e) if host_alone && rules.keep_mount() && e == Errno::ELOOP => {
            return match on_host(&given, resolve) {
                Err(e) => Err(e),
                // The symlink was changed meanwhile.
                Ok(fd) => {
                    fs::close(fd as i32);
                    Err(e)
                }
            };
        }
        End::Refused(e) => return Err(e),
        End::Failed(e) if !host_alone => return Err(e),
        End::Found(found) if !(host_alone && found.is_host()) => found,
        _ => return on_host(&given, resolve),
    };
    let flags = Rules::after_walk(resolve, !found.is_host() || rules.are_scoped());
    match found.is_host() {
        true if rules.are_scoped() => on_host(&below(&mut scratch, dirfd, walk.floor), flags),
        true => on_host(&found, flags),
        false => enter(&found, flags),
    }
}

fn owner_of(dirfd: i32) -> Result<Owner> {
    fdtable::owner_of_class(if dirfd == AT_FDCWD { cwd::class() } else { fdtable::class(dirfd as usize) })
}

/// Whether the way from a directory of the host down can lead into a mount.
fn has_mounts_below(scratch: &mut Scratch, dirfd: i32) -> bool {
    let place: &mut [u8; PATH_MAX] = &mut scratch.buffers().place;
    match path_of(dirfd, place) {
        Ok(1) => true,
        Ok(len) => mount_lookup::is_above_mount(&place[..len]),
        Err(_) => false,
    }
}

/// What a walk under rules left in `scratch.place`, relative to `dirfd`, whose path is the first `floor` bytes.
fn below(scratch: &mut Scratch, dirfd: i32, floor: usize) -> ResolvedPath {
    static HERE: [u8; 2] = *b".\0";
    let place = &scratch.buffers().place[floor..];
    let rest = &place[usize::from(place[0] == b'/')..];
    let path = if rest[0] == 0 { HERE.as_ptr() } else { rest.as_ptr() };
    ResolvedPath { target: Target::Host, dirfd, path: path as usize }
}
