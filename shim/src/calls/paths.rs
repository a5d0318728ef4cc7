// SPDX-License-Identifier: GPL-2.0-only
//! Calls with one path: the *at forms, and the older calls, which are special cases of those.

use core::cell::Cell;

use crate::calls::unix_names;
use crate::fdtable::{self, Owner};
use crate::instance::enter::{enter_kernel, KernelContext};
use crate::lookup::route::{look_at_path, with_path, PathArg};
use crate::lookup::target::{FinalComponent, KernelPath, ResolvedPath};
use crate::lookup::{cwd, magic_links};
use crate::sys::call::{self, args, Call};
use crate::sys::confinement::is_confined;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::host::Args;
use crate::sys::identity::Identity;
use crate::sys::report::say_once;
use crate::sys::scratch::Scratch;
use crate::sys::{nowhere, root, user};

const CWD: usize = AT_FDCWD as usize;
const NOFOLLOW: usize = libc::AT_SYMLINK_NOFOLLOW as usize;

/// The arguments of an *at call (directory in argument 0, path in 1) with the path where it was found.
fn placed(mut args: Args, dirfd: usize, path: usize) -> Args {
    (args[0], args[1]) = (dirfd, path);
    args
}

/// Makes the call `c` on the host as the *at call `nr` with `args`. A call without a directory has the path in argument 0, and
/// stays the call that the program made: a seccomp filter may allow no other.
fn on_host(c: &Call<'_>, nr: i64, args: &Args, at: &ResolvedPath) -> Result {
    if c.nr as i64 != nr && at.dirfd == AT_FDCWD {
        let mut own = c.args;
        own[0] = at.path;
        return c.to_host_with(&own);
    }
    call::host(nr, &placed(*args, at.dirfd as usize, at.path))
}

/// Makes the call `c` where its path leads, as an *at call (directory in argument 0, path in 1).
fn at(c: &Call<'_>, nr: i64, args: Args, last: impl Into<FinalComponent>) -> Result {
    let asked = PathArg::new(args[0], args[1], last);
    let on_host = |at: &ResolvedPath| on_host(c, nr, &args, at);
    let in_kernel = |context: &mut KernelContext, at: KernelPath| {
        let args = placed(args, at.dirfd, at.path);
        let (nr, args) = if at.is_mount_root { on_root(nr, args) } else { (nr, args) };
        context.call(nr, &args)
    };
    let r = match looks(nr) {
        true => look_at_path(asked, on_host, in_kernel, |at, result| found(nr, &args, at, result), |_| ()),
        false => with_path(asked, on_host, in_kernel),
    };
    if asked.last != FinalComponent::Follow {
        return r;
    }
    or_of_removed_file(r, args[1], |context, fd| {
        let (nr, by_descriptor) = on_root(nr, placed(args, fd, args[1]));
        match by_descriptor[1] == args[1] {
            // Not each call has a form by descriptor.
            true => r,
            false => context.call(nr, &by_descriptor),
        }
    })
}

/// Whether the *at call only looks at the file.
fn looks(nr: i64) -> bool {
    [libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_readlinkat]
        .contains(&nr)
}

/// What the call looked at on the host, where that may have been a directory.
fn found(nr: i64, args: &Args, at: &ResolvedPath, result: Result) -> Option<Identity> {
    let flags = match nr {
        libc::SYS_readlinkat => return None,
        libc::SYS_newfstatat | libc::SYS_statx if result.is_err() => return None,
        libc::SYS_newfstatat => {
            let stat: libc::stat = user::read(args[2]).ok()?;
            return Some(Identity::of_status(&stat));
        }
        libc::SYS_statx => args[2] & NOFOLLOW,
        libc::SYS_faccessat2 => args[3] & NOFOLLOW,
        _ => 0,
    };
    Identity::at(at.dirfd, at.path, flags as i32)
}

/// The form of an *at call for the root of a mount, of which we have a descriptor. "." would have to be searched
/// for in the root, and the path that the application gave does not search the directory that it ends at.
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

/// unlinkat with the flags in `args[2]`: a mount's root stays.
fn remove(c: &Call<'_>, args: Args) -> Result {
    if !unix_names::is_used() {
        return remove_file(c, args);
    }
    let socket = unix_names::before_removal(args[0], args[1]);
    let r = remove_file(c, args)?;
    if let Some(key) = socket {
        unix_names::removed(&key);
    }
    Ok(r)
}

fn remove_file(c: &Call<'_>, args: Args) -> Result {
    with_path(
        PathArg::new(args[0], args[1], FinalComponent::Parent),
        |at| on_host(c, libc::SYS_unlinkat, &args, at),
        |context, at| {
            if at.is_mount_root {
                return Err(match args[2] & libc::AT_REMOVEDIR as usize {
                    0 => Errno::EISDIR,
                    _ if ends_in_dot(args[1]) => Errno::EINVAL,
                    _ => Errno::EBUSY,
                });
            }
            context.call(libc::SYS_unlinkat, &placed(args, at.dirfd, at.path))
        },
    )
}

/// Whether the last name of the application's path is `.`, which rmdir(2) refuses as such.
fn ends_in_dot(path: usize) -> bool {
    let Ok(mut scratch) = Scratch::take() else { return false };
    let Ok(len) = user::read_string(scratch.path(), path) else { return false };
    let text = &scratch.path()[..len];
    text == b"." || text.ends_with(b"/.")
}

/// A call that exists without a directory only: `c.nr(path, rest)` on the host, `private(dirfd, path, rest)` in the
/// kernel.
fn by_private_call(c: &Call<'_>, private: lkl::Private) -> Result {
    let [path, rest, ..] = c.args;
    let r = with_path(
        PathArg::plain(path, true),
        |at| c.to_host_with(&args([at.path, rest])),
        |context, at| context.call(private as i64, &args([at.dirfd, at.path, rest])),
    );
    or_of_removed_file(r, path, |context, fd| context.call(private as i64, &args([fd, 0, rest])))
}

/// What a call with a path that is followed gave; or, where the path is /proc/self/fd/N and the kernel's file at N has no name
/// any more, what `by_descriptor` gives for that file.
pub fn or_of_removed_file(
    r: Result,
    path: usize,
    by_descriptor: impl FnMut(&mut KernelContext, usize) -> Result,
) -> Result {
    match r {
        Err(Errno::ENOENT) => of_removed_file(path, by_descriptor).unwrap_or(r),
        _ => r,
    }
}

#[cold]
fn of_removed_file(
    path: usize,
    mut by_descriptor: impl FnMut(&mut KernelContext, usize) -> Result,
) -> Option<Result> {
    let number = magic_links::unlinked(path)?;
    Some(enter_kernel(|context| by_descriptor(context, number as usize)))
}

macro_rules! at_forms {
    ($($(#[$doc:meta])* $name:ident($c:ident) = $nr:ident [$($arg:expr),*] follow $follow:expr;)*) => { $(
        $(#[$doc])*
        pub fn $name($c: &Call<'_>) -> Result {
            at($c, libc::$nr, args([$($arg),*]), $follow)
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
    mkdir(c) = SYS_mkdirat [CWD, c.args[0], c.args[1]] follow FinalComponent::Parent;
    /// mkdirat(2)
    mkdirat(c) = SYS_mkdirat [c.args[0], c.args[1], c.args[2]] follow FinalComponent::Parent;
    /// mknod(2)
    mknod(c) = SYS_mknodat [CWD, c.args[0], c.args[1], c.args[2]] follow FinalComponent::Parent;
    /// mknodat(2)
    mknodat(c) = SYS_mknodat [c.args[0], c.args[1], c.args[2], c.args[3]] follow FinalComponent::Parent;
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
pub fn unlink(c: &Call<'_>) -> Result {
    remove(c, args([CWD, c.args[0]]))
}

/// rmdir(2)
pub fn rmdir(c: &Call<'_>) -> Result {
    remove(c, args([CWD, c.args[0], libc::AT_REMOVEDIR as usize]))
}

/// unlinkat(2)
pub fn unlinkat(c: &Call<'_>) -> Result {
    remove(c, c.args)
}

fn read_link(c: &Call<'_>, dirfd: usize, path: usize, to: usize, size: usize) -> Result {
    if let Some(answer) = magic_links::read_link(path, to, size) {
        return answer;
    }
    at(c, libc::SYS_readlinkat, args([dirfd, path, to, size]), false)
}

/// readlink(2)
pub fn readlink(c: &Call<'_>) -> Result {
    read_link(c, CWD, c.args[0], c.args[1], c.args[2])
}

/// readlinkat(2)
pub fn readlinkat(c: &Call<'_>) -> Result {
    read_link(c, c.args[0], c.args[1], c.args[2], c.args[3])
}

/// utime(2): whole seconds, as a pair of timespecs.
pub fn utime(c: &Call<'_>) -> Result {
    if c.args[1] == 0 {
        return at(c, libc::SYS_utimensat, args([CWD, c.args[0]]), true);
    }
    let seconds: [i64; 2] = user::read(c.args[1])?;
    let times = [seconds[0], 0, seconds[1], 0];
    at(c, libc::SYS_utimensat, args([CWD, c.args[0], times.as_ptr() as usize]), true)
}

/// truncate(2)
pub fn truncate(c: &Call<'_>) -> Result {
    by_private_call(c, lkl::Private::TruncateAt)
}

/// statfs(2)
pub fn statfs(c: &Call<'_>) -> Result {
    by_private_call(c, lkl::Private::StatfsAt)
}

/// chdir(2): where relative paths lead from now on.
pub fn chdir(c: &Call<'_>) -> Result {
    let class = Cell::new(fdtable::HOST);
    let r = with_path(
        PathArg::plain(c.args[0], true),
        |at| {
            class.set(fdtable::HOST);
            c.to_host_with(&args([at.path]))
        },
        |context, at| {
            class.set(fdtable::KERNEL);
            context.call(lkl::Private::ChdirAt as i64, &args([at.dirfd, at.path]))
        },
    );
    or_of_removed_file(r, c.args[0], |context, fd| {
        class.set(fdtable::KERNEL);
        context.call(lkl::Private::ChdirAt as i64, &args([fd]))
    })?;
    settle(class.get());
    Ok(0)
}

/// The current directory is one of this class now. While it is in a mount the host's must lead nowhere.
fn settle(class: u8) {
    cwd::changed(class);
    if class == fdtable::KERNEL && !is_confined() && !nowhere::enter() {
        say_once!("chdir: on the host the process stays in its directory");
    }
}

/// fchdir(2)
pub fn fchdir(c: &Call<'_>) -> Result {
    let (r, class) = match fdtable::owner(c.args[0])? {
        Owner::Host => (c.to_host()?, fdtable::HOST),
        Owner::Kernel => (c.to_kernel()?, fdtable::KERNEL),
    };
    settle(class);
    Ok(r)
}

/// getcwd(2)
pub fn getcwd(c: &Call<'_>) -> Result {
    match fdtable::owner_of_class(cwd::class())? {
        Owner::Host if root::is_in_mount() => directory_out_of_reach(c),
        Owner::Host => c.to_host(),
        Owner::Kernel => c.to_kernel(),
    }
}

/// getcwd(2) of a directory that does not lie below the root (d_path.c).
fn directory_out_of_reach(c: &Call<'_>) -> Result {
    const OUT_OF_REACH: &[u8] = b"(unreachable)";
    let mut scratch = Scratch::take()?;
    let text = scratch.path();
    text[..OUT_OF_REACH.len()].copy_from_slice(OUT_OF_REACH);
    let len = OUT_OF_REACH.len() + fs::current_directory(&mut text[OUT_OF_REACH.len()..])?;
    if len > c.args[1] {
        return Err(Errno::ERANGE);
    }
    user::write_bytes(c.args[0], &text[..len]).map(|()| len)
}
