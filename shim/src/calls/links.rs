// SPDX-License-Identifier: GPL-2.0-only
//! Calls with two names: rename, link, symlink.

use crate::calls::Call;
use crate::instance::enter::section;
use crate::lookup::magic_links;
use crate::lookup::route::{with_path, with_two_paths, Last, Spot, AT_FDCWD};
use crate::sys::errno::{EACCES, EBADF, EBUSY, EFAULT, ELOOP, ENAMETOOLONG, ENOTDIR, EXDEV};
use crate::sys::host::{self, Ret};

const CWD: usize = AT_FDCWD as usize;

/// `nr(dirfd, path, dirfd, path, flags)`; both names have to lie in one world.
fn two(nr: i64, args: [usize; 5], first: Last, roots_stay: bool) -> Ret {
    with_two_paths((args[0], args[1], first), (args[2], args[3], Last::Parent), |from, to| {
        match (from.is_host(), to.is_host()) {
            (true, true) => host::forward(
                nr as usize,
                &[from.dirfd as usize, from.path, to.dirfd as usize, to.path, args[4], 0],
            ),
            (false, false) => {
                if roots_stay && (from.is_mount_root() || to.is_mount_root()) {
                    return EBUSY;
                }
                section(|door| {
                    let places = from.kernel_at(door).and_then(|f| Ok((f, to.kernel_at(door)?)));
                    match places {
                        Ok((f, t)) => door.call(nr, &[f.0, f.1, t.0, t.1, args[4], 0]),
                        Err(e) => e,
                    }
                })
            }
            // As between any two mounts, once it is clear that both names can be looked up at all. A name that
            // does not exist is reported by what follows: mv copies.
            _ => match (name_error(from), name_error(to)) {
                (0, 0) => EXDEV,
                (0, e) | (e, _) => e,
            },
        }
    })
}

/// The error of the way to a name, 0 for none; whether there is such a name does not matter.
fn name_error(spot: &Spot) -> Ret {
    let mut byte = 0u8;
    let to = &raw mut byte as usize;
    let r = if spot.is_host() {
        host::call(libc::SYS_readlinkat, &[spot.dirfd as usize, spot.path, to, 1])
    } else {
        section(|door| match spot.kernel_at(door) {
            Ok((dirfd, path)) => door.call(libc::SYS_readlinkat, &[dirfd, path, to, 1, 0, 0]),
            Err(e) => e,
        })
    };
    if matches!(r, EBADF | ENOTDIR | EACCES | ELOOP | ENAMETOOLONG | EFAULT) {
        r
    } else {
        0
    }
}

/// rename(2)
pub fn rename(c: &Call<'_>) -> Ret {
    two(libc::SYS_renameat2, [CWD, c.args[0], CWD, c.args[1], 0], Last::Parent, true)
}

/// renameat(2)
pub fn renameat(c: &Call<'_>) -> Ret {
    two(libc::SYS_renameat2, [c.args[0], c.args[1], c.args[2], c.args[3], 0], Last::Parent, true)
}

/// renameat2(2)
pub fn renameat2(c: &Call<'_>) -> Ret {
    two(libc::SYS_renameat2, [c.args[0], c.args[1], c.args[2], c.args[3], c.args[4]], Last::Parent, true)
}

/// link(2)
pub fn link(c: &Call<'_>) -> Ret {
    two(libc::SYS_linkat, [CWD, c.args[0], CWD, c.args[1], 0], Last::Keep, false)
}

/// linkat(2)
pub fn linkat(c: &Call<'_>) -> Ret {
    let follow = c.args[4] & libc::AT_SYMLINK_FOLLOW as usize != 0;
    if let Some(number) = magic_links::descriptor(c.args[1]).filter(|_| follow) {
        return link_descriptor(number as usize, c.args[2], c.args[3]);
    }
    two(libc::SYS_linkat, [c.args[0], c.args[1], c.args[2], c.args[3], c.args[4]], follow.into(), false)
}

/// Gives an open kernel file a name, as linkat of its /proc/self/fd/N does (open(2), O_TMPFILE).
fn link_descriptor(number: usize, dirfd: usize, path: usize) -> Ret {
    with_path(dirfd, path, Last::Parent, |spot| {
        if spot.is_host() {
            return EXDEV;
        }
        section(|door| match spot.kernel_at(door) {
            Ok((dirfd, path)) => door.call(lkl::Private::LinkFd as i64, &[number, dirfd, path, 0, 0, 0]),
            Err(e) => e,
        })
    })
}

fn make_symlink(target: usize, dirfd: usize, path: usize) -> Ret {
    with_path(dirfd, path, Last::Parent, |spot| {
        if spot.is_host() {
            return host::call(libc::SYS_symlinkat, &[target, spot.dirfd as usize, spot.path]);
        }
        section(|door| match spot.kernel_at(door) {
            Ok((dirfd, path)) => door.call(libc::SYS_symlinkat, &[target, dirfd, path, 0, 0, 0]),
            Err(e) => e,
        })
    })
}

/// symlink(2)
pub fn symlink(c: &Call<'_>) -> Ret {
    make_symlink(c.args[0], CWD, c.args[1])
}

/// symlinkat(2)
pub fn symlinkat(c: &Call<'_>) -> Ret {
    make_symlink(c.args[0], c.args[1], c.args[2])
}
