// SPDX-License-Identifier: GPL-2.0-only
//! Extended attributes by path. Linux 6.1 has no *at forms (6.13 does); the overlay brings them as private
//! calls: `getxattrat(dirfd, path, at_flags, name, value, size)`.

use crate::lookup::route::{with_path, PathArg};
use crate::sys::call::Call;
use crate::sys::errno::Result;

const NOFOLLOW: usize = libc::AT_SYMLINK_NOFOLLOW as usize;

fn by_path(c: &Call<'_>, follow: bool, private: lkl::Private, rest: [usize; 4]) -> Result {
    let [flags, name, value, size] = rest;
    with_path(
        PathArg::plain(c.args[0], follow),
        |at| {
            let mut args = c.args;
            args[0] = at.path;
            c.to_host_with(&args)
        },
        |context, at| context.call(private as i64, &[at.dirfd, at.path, flags, name, value, size]),
    )
}

fn get(c: &Call<'_>, follow: bool) -> Result {
    let flags = if follow { 0 } else { NOFOLLOW };
    by_path(c, follow, lkl::Private::GetXattrAt, [flags, c.args[1], c.args[2], c.args[3]])
}

fn set(c: &Call<'_>, follow: bool) -> Result {
    // The flags of setxattr ride in the upper half of the at_flags.
    let flags = if follow { 0 } else { NOFOLLOW } | (c.args[4] & 0xffff_ffff) << 32;
    by_path(c, follow, lkl::Private::SetXattrAt, [flags, c.args[1], c.args[2], c.args[3]])
}

fn list(c: &Call<'_>, follow: bool) -> Result {
    let flags = if follow { 0 } else { NOFOLLOW };
    by_path(c, follow, lkl::Private::ListXattrAt, [flags, c.args[1], c.args[2], 0])
}

fn remove(c: &Call<'_>, follow: bool) -> Result {
    let flags = if follow { 0 } else { NOFOLLOW };
    by_path(c, follow, lkl::Private::RemoveXattrAt, [flags, c.args[1], 0, 0])
}

macro_rules! pairs {
    ($($name:ident $lname:ident = $what:ident;)*) => { $(
        /// By path, symlinks followed.
        pub fn $name(c: &Call<'_>) -> Result {
            $what(c, true)
        }
        /// By path, of the symlink itself.
        pub fn $lname(c: &Call<'_>) -> Result {
            $what(c, false)
        }
    )* };
}
pairs! {
    getxattr lgetxattr = get;
    setxattr lsetxattr = set;
    listxattr llistxattr = list;
    removexattr lremovexattr = remove;
}
