// SPDX-License-Identifier: GPL-2.0-only
//! Extended attributes by path. Linux 6.1 has no *at forms (6.13 does); the overlay brings them as private
//! calls: `getxattrat(dirfd, path, at_flags, name, value, size)`.

use crate::calls::Call;
use crate::instance::enter::section;
use crate::lookup::route::{with_path, AT_FDCWD};
use crate::sys::host::{self, Args, Ret};

const NOFOLLOW: usize = libc::AT_SYMLINK_NOFOLLOW as usize;

fn by_path(c: &Call<'_>, follow: bool, kernel_nr: i64, kernel_rest: [usize; 4]) -> Ret {
    with_path(AT_FDCWD as usize, c.args[0], follow, |spot| {
        if spot.is_host() {
            let mut args = c.args;
            args[0] = spot.path;
            return host::forward(c.nr, &args);
        }
        section(|door| match spot.kernel_at(door) {
            Ok((dirfd, path)) => {
                let [flags, a, b, size] = kernel_rest;
                let args: Args = [dirfd, path, flags, a, b, size];
                door.call(kernel_nr, &args)
            }
            Err(e) => e,
        })
    })
}

fn get(c: &Call<'_>, follow: bool) -> Ret {
    let flags = if follow { 0 } else { NOFOLLOW };
    by_path(c, follow, lkl::Private::GetXattrAt as i64, [flags, c.args[1], c.args[2], c.args[3]])
}

fn set(c: &Call<'_>, follow: bool) -> Ret {
    // The flags of setxattr ride in the upper half of the at_flags.
    let flags = if follow { 0 } else { NOFOLLOW } | (c.args[4] & 0xffff_ffff) << 32;
    by_path(c, follow, lkl::Private::SetXattrAt as i64, [flags, c.args[1], c.args[2], c.args[3]])
}

fn list(c: &Call<'_>, follow: bool) -> Ret {
    let flags = if follow { 0 } else { NOFOLLOW };
    by_path(c, follow, lkl::Private::ListXattrAt as i64, [flags, c.args[1], c.args[2], 0])
}

fn remove(c: &Call<'_>, follow: bool) -> Ret {
    let flags = if follow { 0 } else { NOFOLLOW };
    by_path(c, follow, lkl::Private::RemoveXattrAt as i64, [flags, c.args[1], 0, 0])
}

macro_rules! pairs {
    ($($name:ident $lname:ident = $what:ident;)*) => { $(
        /// By path, symlinks followed.
        pub fn $name(c: &Call<'_>) -> Ret {
            $what(c, true)
        }
        /// By path, of the symlink itself.
        pub fn $lname(c: &Call<'_>) -> Ret {
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
