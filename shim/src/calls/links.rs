// SPDX-License-Identifier: GPL-2.0-only
//! Calls with two names: rename, link, symlink.

use crate::instance::enter::enter_kernel;
use crate::lookup::magic_links;
use crate::lookup::route::{with_path, with_two_paths, PathArg};
use crate::lookup::target::{FinalComponent, KernelPath, ResolvedPath};
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};

const CWD: usize = AT_FDCWD as usize;

/// Makes the call `c` on the host as `nr(dirfd, path, dirfd, path, flags)`. A call that says less stays the call that the program
/// made: a seccomp filter may allow no other.
fn on_host(c: &Call<'_>, nr: i64, from: &ResolvedPath, to: &ResolvedPath, flags: usize) -> Result {
    let (from_dirfd, to_dirfd) = (from.dirfd as usize, to.dirfd as usize);
    let has_no_directory = from.dirfd == AT_FDCWD && to.dirfd == AT_FDCWD;
    match c.nr as i64 {
        libc::SYS_rename | libc::SYS_link if has_no_directory => c.to_host_with(&args([from.path, to.path])),
        libc::SYS_renameat => c.to_host_with(&args([from_dirfd, from.path, to_dirfd, to.path])),
        _ => call::host(nr, &args([from_dirfd, from.path, to_dirfd, to.path, flags])),
    }
}

/// Makes the call `c` as `nr(dirfd, path, dirfd, path, flags)`; both names have to lie on one side.
fn two(c: &Call<'_>, nr: i64, given: [usize; 5], first: FinalComponent, roots_stay: bool) -> Result {
    let [from_dirfd, from_path, to_dirfd, to_path, flags] = given;
    let second = PathArg::new(to_dirfd, to_path, FinalComponent::Parent);
    with_two_paths(PathArg::new(from_dirfd, from_path, first), second, |from, to| {
        match (from.is_host(), to.is_host()) {
            (true, true) => on_host(c, nr, from, to, flags),
            (false, false) if roots_stay && (from.is_mount_root() || to.is_mount_root()) => Err(Errno::EBUSY),
            (false, false) => enter_kernel(|context| {
                let (f, t) = (from.in_kernel(context)?, to.in_kernel(context)?);
                context.call(nr, &args([f.dirfd, f.path, t.dirfd, t.path, flags]))
            }),
            // As between any two mounts, once it is clear that both names can be looked up at all. A name that
            // does not exist is reported by what follows: mv copies.
            _ => {
                can_be_looked_up(from)?;
                can_be_looked_up(to)?;
                Err(Errno::EXDEV)
            }
        }
    })
}

/// The error of the way to a name; whether there is such a name does not matter.
fn can_be_looked_up(at: &ResolvedPath) -> Result<()> {
    let mut byte = [0u8];
    let r = if at.is_host() {
        fs::read_link_at(at.dirfd, at.path, &mut byte)
    } else {
        enter_kernel(|context| {
            let KernelPath { dirfd, path, .. } = at.in_kernel(context)?;
            context.call(libc::SYS_readlinkat, &args([dirfd, path, byte.as_mut_ptr() as usize, 1]))
        })
    };
    match r {
        Err(
            e @ (Errno::EBADF
            | Errno::ENOTDIR
            | Errno::EACCES
            | Errno::ELOOP
            | Errno::ENAMETOOLONG
            | Errno::EFAULT),
        ) => Err(e),
        _ => Ok(()),
    }
}

/// rename(2)
pub fn rename(c: &Call<'_>) -> Result {
    two(c, libc::SYS_renameat2, [CWD, c.args[0], CWD, c.args[1], 0], FinalComponent::Parent, true)
}

/// renameat(2)
pub fn renameat(c: &Call<'_>) -> Result {
    let [from_dirfd, from, to_dirfd, to, ..] = c.args;
    two(c, libc::SYS_renameat2, [from_dirfd, from, to_dirfd, to, 0], FinalComponent::Parent, true)
}

/// renameat2(2)
pub fn renameat2(c: &Call<'_>) -> Result {
    let [from_dirfd, from, to_dirfd, to, flags, _] = c.args;
    two(c, libc::SYS_renameat2, [from_dirfd, from, to_dirfd, to, flags], FinalComponent::Parent, true)
}

/// link(2)
pub fn link(c: &Call<'_>) -> Result {
    two(c, libc::SYS_linkat, [CWD, c.args[0], CWD, c.args[1], 0], FinalComponent::Keep, false)
}

/// linkat(2)
pub fn linkat(c: &Call<'_>) -> Result {
    let [from_dirfd, from, to_dirfd, to, flags, _] = c.args;
    let follow = flags & libc::AT_SYMLINK_FOLLOW as usize != 0;
    if let Some(number) = magic_links::descriptor(from).filter(|_| follow) {
        return link_descriptor(number as usize, to_dirfd, to);
    }
    two(c, libc::SYS_linkat, [from_dirfd, from, to_dirfd, to, flags], follow.into(), false)
}

/// Gives an open kernel file a name, as linkat of its /proc/self/fd/N does (open(2), O_TMPFILE).
fn link_descriptor(number: usize, dirfd: usize, path: usize) -> Result {
    with_path(
        PathArg::new(dirfd, path, FinalComponent::Parent),
        |_| Err(Errno::EXDEV),
        |context, at| context.call(lkl::Private::LinkFd as i64, &args([number, at.dirfd, at.path])),
    )
}

fn make_symlink(c: &Call<'_>, target: usize, dirfd: usize, path: usize) -> Result {
    with_path(
        PathArg::new(dirfd, path, FinalComponent::Parent),
        |at| match at.dirfd {
            AT_FDCWD if c.nr as i64 == libc::SYS_symlink => c.to_host_with(&args([target, at.path])),
            dirfd => call::host(libc::SYS_symlinkat, &args([target, dirfd as usize, at.path])),
        },
        |context, at| context.call(libc::SYS_symlinkat, &args([target, at.dirfd, at.path])),
    )
}

/// symlink(2)
pub fn symlink(c: &Call<'_>) -> Result {
    make_symlink(c, c.args[0], CWD, c.args[1])
}

/// symlinkat(2)
pub fn symlinkat(c: &Call<'_>) -> Result {
    make_symlink(c, c.args[0], c.args[1], c.args[2])
}
