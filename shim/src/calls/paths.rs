// SPDX-License-Identifier: GPL-2.0-only
//! Calls with one path: the *at forms, and the older ones, which are special cases of them.

use crate::calls::Call;
use crate::fdtable;
use crate::instance::enter::section;
use crate::lookup::route::{look_at_path, with_path, Last, Spot, AT_FDCWD};
use crate::lookup::{cwd, magic_links};
use crate::sys::errno::{EBUSY, EINVAL, EISDIR, ENOSYS};
use crate::sys::host::{self, Args, Ret};
use crate::sys::identity::Identity;
use crate::sys::report::say_once;
use crate::sys::scratch::Scratch;
use crate::sys::user;

const CWD: usize = AT_FDCWD as usize;
const NOFOLLOW: usize = libc::AT_SYMLINK_NOFOLLOW as usize;

/// Makes an *at call (directory in argument 0, path in 1) in the world of its path.
pub fn at(nr: i64, args: Args, last: impl Into<Last>) -> Ret {
    let call = |spot: &Spot| {
        let mut args = args;
        if spot.is_host() {
            (args[0], args[1]) = (spot.dirfd as usize, spot.path);
            return host::forward(nr as usize, &args);
        }
        section(|door| match spot.kernel_at(door) {
            Ok((dirfd, path)) => {
                (args[0], args[1]) = (dirfd, path);
                let (nr, args) = if spot.is_mount_root() { on_root(nr, args) } else { (nr, args) };
                door.call(nr, &args)
            }
            Err(e) => e,
        })
    };
    if looks(nr) {
        look_at_path(args[0], args[1], last, call, |spot, result| found(nr, &args, spot, result), |_| ())
    } else {
        with_path(args[0], args[1], last, call)
    }
}

/// Whether the *at call only looks at the file.
fn looks(nr: i64) -> bool {
    [libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_readlinkat]
        .contains(&nr)
}

/// What it looked at on the host, where it may have been a directory.
fn found(nr: i64, args: &Args, spot: &Spot, result: Ret) -> Option<Identity> {
    let flags = match nr {
        libc::SYS_readlinkat => return None,
        libc::SYS_newfstatat | libc::SYS_statx if result != 0 => return None,
        libc::SYS_newfstatat => {
            let stat: libc::stat = user::read(args[2]).ok()?;
            return Some(Identity::of_status(&stat));
        }
        libc::SYS_statx => args[2] & NOFOLLOW,
        libc::SYS_faccessat2 => args[3] & NOFOLLOW,
        _ => 0,
    };
    Identity::at(spot.dirfd as usize, spot.path, flags)
}

/// The form of an *at call for the root of a mount, of which we have a descriptor: "." would have to be searched
/// for in it, and the path that the application gave does not search the directory it ends at.
fn on_root(nr: i64, mut args: Args) -> (i64, Args) {
    const EMPTY_PATH: usize = libc::AT_EMPTY_PATH as usize;
    let (nr, flags) = match nr {
        libc::SYS_newfstatat => (nr, 3),
        libc::SYS_statx => (nr, 2),
        libc::SYS_fchownat => (nr, 4),
        libc::SYS_faccessat | libc::SYS_faccessat2 => (libc::SYS_faccessat2, 3),
        libc::SYS_fchmodat => return (libc::SYS_fchmod, [args[0], args[2], 0, 0, 0, 0]),
        libc::SYS_utimensat => return (nr, [args[0], 0, args[2], 0, 0, 0]),
        libc::SYS_futimesat => return (nr, [args[0], 0, args[2], 0, 0, 0]),
        _ => return (nr, args),
    };
    args[1] = c"".as_ptr() as usize;
    args[flags] |= EMPTY_PATH;
    (nr, args)
}

/// The same for a call that takes a name out of its directory: a mount's root stays.
fn removing(nr: i64, args: Args) -> Ret {
    with_path(args[0], args[1], Last::Parent, |spot| {
        let mut args = args;
        if spot.is_host() {
            (args[0], args[1]) = (spot.dirfd as usize, spot.path);
            return host::forward(nr as usize, &args);
        }
        if spot.is_mount_root() {
            return match args[2] & libc::AT_REMOVEDIR as usize {
                0 => EISDIR,
                _ if ends_in_dot(args[1]) => EINVAL,
                _ => EBUSY,
            };
        }
        section(|door| match spot.kernel_at(door) {
            Ok((dirfd, path)) => {
                (args[0], args[1]) = (dirfd, path);
                door.call(nr, &args)
            }
            Err(e) => e,
        })
    })
}

/// Whether the last name of the application's path is `.`, which rmdir(2) refuses as such.
fn ends_in_dot(path: usize) -> bool {
    let Ok(mut scratch) = Scratch::take() else { return false };
    let Ok(len) = user::read_string(scratch.path(), path) else { return false };
    let text = &scratch.path()[..len];
    text == b"." || text.ends_with(b"/.")
}

/// A call that exists without a directory only: `host_nr(path, ...)` there, `kernel_nr(dirfd, path, ...)`
/// (a private call) in the kernel. `rest` are the arguments behind the path.
fn private(host_nr: usize, kernel_nr: i64, path: usize, follow: bool, rest: [usize; 4]) -> Ret {
    with_path(CWD, path, follow, |spot| {
        if spot.is_host() {
            return host::forward(host_nr, &[spot.path, rest[0], rest[1], rest[2], rest[3], 0]);
        }
        section(|door| match spot.kernel_at(door) {
            Ok((dirfd, path)) => door.call(kernel_nr, &[dirfd, path, rest[0], rest[1], rest[2], rest[3]]),
            Err(e) => e,
        })
    })
}

macro_rules! at_forms {
    ($($(#[$doc:meta])* $name:ident($c:ident) = $nr:ident [$($arg:expr),*] follow $follow:expr;)*) => { $(
        $(#[$doc])*
        pub fn $name($c: &Call<'_>) -> Ret {
            let given = [$($arg),*];
            let mut args = [0; 6];
            args[..given.len()].copy_from_slice(&given);
            at(libc::$nr, args, $follow)
        }
    )* };
}

at_forms! {
    /// stat(2)
    stat(c) = SYS_newfstatat [CWD, c.args[0], c.args[1], 0] follow true;
    /// lstat(2)
    lstat(c) = SYS_newfstatat [CWD, c.args[0], c.args[1], NOFOLLOW] follow false;
    /// newfstatat(2)
    newfstatat(c) = SYS_newfstatat [c.args[0], c.args[1], c.args[2], c.args[3]] follow c.args[3] & NOFOLLOW == 0;
    /// statx(2)
    statx(c) = SYS_statx [c.args[0], c.args[1], c.args[2], c.args[3], c.args[4]] follow c.args[2] & NOFOLLOW == 0;
    /// access(2)
    access(c) = SYS_faccessat [CWD, c.args[0], c.args[1]] follow true;
    /// faccessat(2)
    faccessat(c) = SYS_faccessat [c.args[0], c.args[1], c.args[2]] follow true;
    /// faccessat2(2)
    faccessat2(c) = SYS_faccessat2 [c.args[0], c.args[1], c.args[2], c.args[3]] follow c.args[3] & NOFOLLOW == 0;
    /// mkdir(2)
    mkdir(c) = SYS_mkdirat [CWD, c.args[0], c.args[1]] follow Last::Parent;
    /// mkdirat(2)
    mkdirat(c) = SYS_mkdirat [c.args[0], c.args[1], c.args[2]] follow Last::Parent;
    /// mknod(2)
    mknod(c) = SYS_mknodat [CWD, c.args[0], c.args[1], c.args[2]] follow Last::Parent;
    /// mknodat(2)
    mknodat(c) = SYS_mknodat [c.args[0], c.args[1], c.args[2], c.args[3]] follow Last::Parent;
    /// chmod(2)
    chmod(c) = SYS_fchmodat [CWD, c.args[0], c.args[1]] follow true;
    /// fchmodat(2)
    fchmodat(c) = SYS_fchmodat [c.args[0], c.args[1], c.args[2]] follow true;
    /// fchmodat2(2): not in Linux 6.1, which says ENOSYS for itself
    fchmodat2(c) = SYS_fchmodat2 [c.args[0], c.args[1], c.args[2], c.args[3]] follow c.args[3] & NOFOLLOW == 0;
    /// chown(2)
    chown(c) = SYS_fchownat [CWD, c.args[0], c.args[1], c.args[2], 0] follow true;
    /// lchown(2)
    lchown(c) = SYS_fchownat [CWD, c.args[0], c.args[1], c.args[2], NOFOLLOW] follow false;
    /// fchownat(2)
    fchownat(c) = SYS_fchownat [c.args[0], c.args[1], c.args[2], c.args[3], c.args[4]] follow c.args[4] & NOFOLLOW == 0;
    /// utimes(2)
    utimes(c) = SYS_futimesat [CWD, c.args[0], c.args[1]] follow true;
    /// futimesat(2)
    futimesat(c) = SYS_futimesat [c.args[0], c.args[1], c.args[2]] follow true;
    /// utimensat(2)
    utimensat(c) = SYS_utimensat [c.args[0], c.args[1], c.args[2], c.args[3]] follow c.args[3] & NOFOLLOW == 0;
    /// name_to_handle_at(2)
    name_to_handle_at(c) = SYS_name_to_handle_at [c.args[0], c.args[1], c.args[2], c.args[3], c.args[4]]
        follow c.args[4] & libc::AT_SYMLINK_FOLLOW as usize != 0;
}

/// unlink(2)
pub fn unlink(c: &Call<'_>) -> Ret {
    removing(libc::SYS_unlinkat, [CWD, c.args[0], 0, 0, 0, 0])
}

/// rmdir(2)
pub fn rmdir(c: &Call<'_>) -> Ret {
    removing(libc::SYS_unlinkat, [CWD, c.args[0], libc::AT_REMOVEDIR as usize, 0, 0, 0])
}

/// unlinkat(2)
pub fn unlinkat(c: &Call<'_>) -> Ret {
    removing(libc::SYS_unlinkat, c.args)
}

fn read_link(dirfd: usize, path: usize, to: usize, size: usize) -> Ret {
    if let Some(r) = magic_links::read_link(path, to, size) {
        return r;
    }
    at(libc::SYS_readlinkat, [dirfd, path, to, size, 0, 0], false)
}

/// readlink(2)
pub fn readlink(c: &Call<'_>) -> Ret {
    read_link(CWD, c.args[0], c.args[1], c.args[2])
}

/// readlinkat(2)
pub fn readlinkat(c: &Call<'_>) -> Ret {
    read_link(c.args[0], c.args[1], c.args[2], c.args[3])
}

/// utime(2): whole seconds, as a pair of timespecs.
pub fn utime(c: &Call<'_>) -> Ret {
    if c.args[1] == 0 {
        return at(libc::SYS_utimensat, [CWD, c.args[0], 0, 0, 0, 0], true);
    }
    let seconds: [i64; 2] = match user::read(c.args[1]) {
        Ok(seconds) => seconds,
        Err(e) => return e,
    };
    let times = [seconds[0], 0, seconds[1], 0];
    at(libc::SYS_utimensat, [CWD, c.args[0], times.as_ptr() as usize, 0, 0, 0], true)
}

/// truncate(2)
pub fn truncate(c: &Call<'_>) -> Ret {
    private(c.nr, lkl::Private::TruncateAt as i64, c.args[0], true, [c.args[1], 0, 0, 0])
}

/// statfs(2)
pub fn statfs(c: &Call<'_>) -> Ret {
    private(c.nr, lkl::Private::StatfsAt as i64, c.args[0], true, [c.args[1], 0, 0, 0])
}

/// chdir(2): where relative paths lead from now on.
pub fn chdir(c: &Call<'_>) -> Ret {
    let mut world = fdtable::HOST;
    let r = with_path(CWD, c.args[0], true, |spot| {
        if spot.is_host() {
            world = fdtable::HOST;
            return host::forward(c.nr, &[spot.path, 0, 0, 0, 0, 0]);
        }
        world = fdtable::KERNEL;
        section(|door| match spot.kernel_at(door) {
            Ok((dirfd, path)) => door.call(lkl::Private::ChdirAt as i64, &[dirfd, path, 0, 0, 0, 0]),
            Err(e) => e,
        })
    });
    if r == 0 {
        cwd::changed(world);
    }
    r
}

/// fchdir(2)
pub fn fchdir(c: &Call<'_>) -> Ret {
    let class = fdtable::class(c.args[0]);
    let r = match class {
        fdtable::HOST | fdtable::EPOLL_EMPTY => c.to_host(),
        fdtable::KERNEL => c.to_kernel(),
        other => fdtable::refuse(other),
    };
    if r == 0 {
        cwd::changed(if class == fdtable::KERNEL { fdtable::KERNEL } else { fdtable::HOST });
    }
    r
}

/// getcwd(2)
pub fn getcwd(c: &Call<'_>) -> Ret {
    match cwd::class() {
        fdtable::KERNEL => c.to_kernel(),
        fdtable::LOST => fdtable::refuse(fdtable::LOST),
        _ => c.to_host(),
    }
}

/// Calls on a path that only the host has: inotify_add_watch(2).
pub fn inotify_add_watch(c: &Call<'_>) -> Ret {
    let follow = c.args[2] & libc::IN_DONT_FOLLOW as usize == 0;
    with_path(CWD, c.args[1], follow, |spot| {
        if spot.is_host() {
            return host::forward(c.nr, &[c.args[0], spot.path, c.args[2], 0, 0, 0]);
        }
        say_once!("inotify_add_watch: not supported on a path in a mount (ENOSYS)");
        ENOSYS
    })
}

/// chroot(2): the host's only.
pub fn chroot(c: &Call<'_>) -> Ret {
    with_path(CWD, c.args[0], true, |spot| {
        if spot.is_host() {
            return host::forward(c.nr, &[spot.path, 0, 0, 0, 0, 0]);
        }
        say_once!("chroot: not supported on a path in a mount (ENOSYS)");
        ENOSYS
    })
}
