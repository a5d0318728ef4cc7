// SPDX-License-Identifier: GPL-2.0-only
//! Extended attributes by path. Linux 6.1 has no *at forms (6.13 does); the overlay brings them as private
//! calls: `getxattrat(dirfd, path, at_flags, name, value, size)`.

use crate::calls::paths::or_of_removed_file;
use crate::lookup::route::{with_path, PathArg};
use crate::sys::call::Call;
use crate::sys::errno::{Errno, Result};
use crate::sys::user;

const NOFOLLOW: usize = libc::AT_SYMLINK_NOFOLLOW as usize;
const EMPTY_PATH: usize = libc::AT_EMPTY_PATH as usize;

fn by_path(c: &Call<'_>, follow: bool, private: lkl::Private, rest: [usize; 4]) -> Result {
    let [flags, name, value, size] = rest;
    let r = with_path(
        PathArg::plain(c.args[0], follow),
        |at| {
            let mut args = c.args;
            args[0] = at.path;
            c.to_host_with(&args)
        },
        |context, at| context.call(private as i64, &[at.dirfd, at.path, flags, name, value, size]),
    );
    if !follow {
        return r;
    }
    or_of_removed_file(r, c.args[0], |context, fd| {
        let empty = c"".as_ptr() as usize;
        context.call(private as i64, &[fd, empty, flags | EMPTY_PATH, name, value, size])
    })
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

/// The forms of Linux 6.13: `c.nr(dirfd, path, at_flags, ...)`. `rest`: what the private call has behind the at_flags.
fn at(c: &Call<'_>, private: lkl::Private, xattr_flags: u32, rest: [usize; 3]) -> Result {
    let [dirfd, path, flags, ..] = c.args;
    let flags = flags as u32 as usize;
    let [a, b, d] = rest;
    with_path(
        PathArg::new(dirfd, path, flags & NOFOLLOW == 0),
        |at| {
            let mut args = c.args;
            (args[0], args[1]) = (at.dirfd as usize, at.path);
            c.to_host_with(&args)
        },
        |context, at| {
            let path = if at.path == 0 && flags & EMPTY_PATH != 0 { c"".as_ptr() as usize } else { at.path };
            context.call(private as i64, &[at.dirfd, path, flags | (xattr_flags as usize) << 32, a, b, d])
        },
    )
}

/// `struct xattr_args`: address and size of the value, and the flags of setxattr. What is unknown here has to be zero
/// (copy_struct_from_user).
fn read_value(address: usize, size: usize) -> Result<(usize, usize, u32)> {
    const PAGE: usize = 4096;
    const KNOWN: usize = 16;
    match size {
        0..KNOWN => return Err(Errno::EINVAL),
        KNOWN..=PAGE => {}
        _ => return Err(Errno::E2BIG),
    }
    for at in KNOWN..size {
        if user::read::<u8>(address + at)? != 0 {
            return Err(Errno::E2BIG);
        }
    }
    let [value, rest]: [u64; 2] = user::read(address)?;
    Ok((value as usize, rest as u32 as usize, (rest >> 32) as u32))
}

/// getxattrat(2)
pub fn getxattrat(c: &Call<'_>) -> Result {
    let (value, size, flags) = read_value(c.args[4], c.args[5])?;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    at(c, lkl::Private::GetXattrAt, 0, [c.args[3], value, size])
}

/// setxattrat(2)
pub fn setxattrat(c: &Call<'_>) -> Result {
    let (value, size, flags) = read_value(c.args[4], c.args[5])?;
    at(c, lkl::Private::SetXattrAt, flags, [c.args[3], value, size])
}

/// listxattrat(2)
pub fn listxattrat(c: &Call<'_>) -> Result {
    at(c, lkl::Private::ListXattrAt, 0, [c.args[3], c.args[4], 0])
}

/// removexattrat(2)
pub fn removexattrat(c: &Call<'_>) -> Result {
    at(c, lkl::Private::RemoveXattrAt, 0, [c.args[3], 0, 0])
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
