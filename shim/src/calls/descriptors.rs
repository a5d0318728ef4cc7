// SPDX-License-Identifier: GPL-2.0-only
//! Making, copying and closing descriptors: the two tables kept in step (`instance::pair`).

use crate::calls::{btrfs_send, inotify, owner, proc_tables};
use crate::fdtable::{self, sets, watches, Owner, HOST, INOTIFY, KERNEL, RESERVED, WATCHES};
use crate::instance::enter::{enter_kernel, KernelContext};
use crate::instance::pair::{close_pair, copy_pair_from, copy_pair_onto, open_pair};
use crate::lookup::contained::with_contained_path;
use crate::lookup::cwd;
use crate::lookup::magic_links;
use crate::lookup::route::{create_at_path, look_at_path, PathArg};
use crate::lookup::rules::Rules;
use crate::lookup::target::{KernelPath, ResolvedPath};
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::host::Args;
use crate::sys::identity::Identity;
use crate::sys::report::say_once;
use crate::sys::settings::{is_loader, settings};
use crate::sys::user;

const CLOEXEC: usize = libc::O_CLOEXEC as usize;
/// Flags of open(2) that do more than to look.
const MAKES: usize = (libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY) as usize;

/// Whether flags of open(2) follow a symlink at the end of the path.
fn follows(flags: usize) -> bool {
    let makes_anew = (libc::O_CREAT | libc::O_EXCL) as usize;
    flags & libc::O_NOFOLLOW as usize == 0 && flags & makes_anew != makes_anew
}

/// Makes the call `c`, which says as much as openat(2) with `args`, on the host. open(2) and creat(2) stay what they are where no
/// directory is needed: a seccomp filter may allow no other call.
fn open_on_host(c: &Call<'_>, args: &Args, at: &ResolvedPath) -> Result {
    match c.nr as i64 {
        libc::SYS_open if at.dirfd == AT_FDCWD => {
            c.to_host_with(&call::args([at.path, c.args[1], c.args[2]]))
        }
        libc::SYS_creat if at.dirfd == AT_FDCWD => c.to_host_with(&call::args([at.path, c.args[1]])),
        _ => {
            let call = [at.dirfd as usize, at.path, args[2], args[3], args[4], args[5]];
            call::host(libc::SYS_openat, &call)
        }
    }
}

/// Makes the call `c` as openat with the flags of open(2) in `args[2]`.
fn open_at(c: &Call<'_>, args: Args) -> Result {
    let flags = args[2];
    let asked = PathArg::new(args[0], args[1], follows(flags));
    let on_host = |at: &ResolvedPath| proc_tables::opened(open_on_host(c, &args, at), at.path, flags);
    let in_kernel = |context: &mut _, at: KernelPath| {
        if flags & libc::O_CREAT as usize != 0 && at.has_slash_behind_root {
            return Err(Errno::EISDIR);
        }
        let call = [at.dirfd, at.path, flags, args[3], 0, 0];
        open_pair(context, flags & CLOEXEC != 0, |context, want| {
            context.call_at(libc::SYS_openat, &call, want)
        })
    };
    if let Some(number) = magic_links::unlinked(args[1]) {
        let call = call::args([number as usize, flags]);
        let cloexec = flags & CLOEXEC != 0;
        return enter_kernel(|context| {
            open_pair(context, cloexec, |context, want| {
                context.call_at(lkl::Private::Reopen as i64, &call, want)
            })
        });
    }
    if flags & MAKES != 0 {
        return create_at_path(asked, on_host, in_kernel);
    }
    // A directory is opened for reading only.
    let reads =
        flags & libc::O_ACCMODE as usize == libc::O_RDONLY as usize || flags & libc::O_PATH as usize != 0;
    let found =
        |_: &ResolvedPath, fd: Result| fd.ok().filter(|_| reads).and_then(|fd| Identity::of(fd as i32));
    let undo = |fd: Result| {
        if let Ok(fd) = fd {
            fs::close(fd as i32);
        }
    };
    look_at_path(asked, on_host, in_kernel, found, undo)
}

/// open(2)
pub fn open(c: &Call<'_>) -> Result {
    open_at(c, args([AT_FDCWD as usize, c.args[0], c.args[1], c.args[2]]))
}

/// openat(2)
pub fn openat(c: &Call<'_>) -> Result {
    open_at(c, c.args)
}

/// creat(2)
pub fn creat(c: &Call<'_>) -> Result {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    open_at(c, args([AT_FDCWD as usize, c.args[0], flags as usize, c.args[1]]))
}

/// openat2(2)
pub fn openat2(c: &Call<'_>) -> Result {
    if !settings().is_active() && !is_loader() {
        return c.to_host();
    }
    let how = read_how(c)?;
    let asked = PathArg::new(c.args[0], c.args[1], follows(how[0] as usize));
    let on_host = |at: &ResolvedPath, resolve: u64| {
        let how = [how[0], how[1], resolve];
        let call = args([at.dirfd as usize, at.path, how.as_ptr() as usize, size_of_val(&how)]);
        proc_tables::opened(call::host(libc::SYS_openat2, &call), at.path, how[0] as usize)
    };
    let in_kernel = |context: &mut KernelContext, at: KernelPath, resolve: u64| {
        if how[0] & libc::O_CREAT as u64 != 0 && at.has_slash_behind_root {
            return Err(Errno::EISDIR);
        }
        let cloexec = how[0] as usize & CLOEXEC != 0;
        let how = [how[0], how[1], resolve];
        let call = args([at.dirfd, at.path, how.as_ptr() as usize, size_of_val(&how)]);
        open_pair(context, cloexec, |context, want| context.call_at(libc::SYS_openat2, &call, want))
    };
    if Rules::new(how[2]).are_any() {
        let creates = how[0] & libc::O_CREAT as u64 != 0;
        return with_contained_path(asked, how[2], creates, on_host, in_kernel);
    }
    create_at_path(asked, |at| on_host(at, how[2]), |context, at| in_kernel(context, at, how[2]))
}

/// The `struct open_how` of openat2(2). A newer program's is larger, and what is unknown here has to be zero: the host
/// knows the rules, and is asked with no path.
fn read_how(c: &Call<'_>) -> Result<[u64; 3]> {
    let [dirfd, _, at, size, ..] = c.args;
    match call::host(libc::SYS_openat2, &args([dirfd, 0, at, size])) {
        Err(Errno::EFAULT) => user::read(at),
        Err(e) => Err(e),
        Ok(_) => Err(Errno::EFAULT),
    }
}

/// open_by_handle_at(2)
pub fn open_by_handle_at(c: &Call<'_>) -> Result {
    // AT_FDCWD stands for the file system of the current directory.
    let class = match c.args[0] as i32 {
        AT_FDCWD => cwd::class(),
        _ => fdtable::class(c.args[0]),
    };
    match fdtable::owner_of_class(class)? {
        Owner::Host => c.to_host(),
        Owner::Kernel => enter_kernel(|context| {
            open_pair(context, c.args[2] & CLOEXEC != 0, |context, want| {
                context.call_at(c.nr as i64, &c.args, want)
            })
        }),
    }
}

/// close(2)
pub fn close(c: &Call<'_>) -> Result {
    match fdtable::class(c.args[0]) {
        HOST => c.to_host(),
        KERNEL | WATCHES => close_kernel(c.args[0] as u32 as usize),
        RESERVED => Err(Errno::EBADF),
        _ => {
            fdtable::set(c.args[0] as u32 as usize, HOST);
            c.to_host()
        }
    }
}

fn close_kernel(number: usize) -> Result {
    enter_kernel(|context| close_pair(context, number))
}

/// close_range(2)
pub fn close_range(c: &Call<'_>) -> Result {
    let (first, last, flags) = (c.args[0] as u32 as usize, c.args[1] as u32 as usize, c.args[2]);
    let known = (libc::CLOSE_RANGE_CLOEXEC | libc::CLOSE_RANGE_UNSHARE) as usize;
    if first > last || flags & !known != 0 || !fdtable::any_special(first, last) {
        return c.to_host();
    }
    let closes = flags & libc::CLOSE_RANGE_CLOEXEC as usize == 0;
    if closes {
        for number in fdtable::numbers_of_kernel(first, last) {
            let _ = close_kernel(number);
        }
    }
    let mut from = first;
    let reserved = fdtable::numbers(RESERVED, first, last).chain(core::iter::once(last + 1));
    let mut result = Ok(0);
    for stop in reserved {
        if stop > from {
            match fs::close_range(from, stop - 1, flags) {
                Err(e) => result = Err(e),
                Ok(_) if closes => fdtable::forget(from, stop - 1),
                Ok(_) => {}
            }
        }
        from = stop + 1;
    }
    result
}

/// dup(2)
pub fn dup(c: &Call<'_>) -> Result {
    copy_up(c, c.args[0], 0, false)
}

/// dup and F_DUPFD: to the lowest free number from `min` on.
fn copy_up(c: &Call<'_>, old: usize, min: usize, cloexec: bool) -> Result {
    match fdtable::class(old) {
        HOST | INOTIFY => copy_of_host(c, old),
        KERNEL | WATCHES if min >= fdtable::LIMIT => Err(Errno::EINVAL),
        KERNEL | WATCHES => enter_kernel(|context| copy_pair_from(context, old, min, cloexec)),
        other => Err(fdtable::refuse(other)),
    }
}

/// A copy of a descriptor of the host, which may be an epoll set or an inotify descriptor.
fn copy_of_host(c: &Call<'_>, old: usize) -> Result {
    let set = sets::generalise(old);
    let copy = c.to_host()?;
    if fdtable::class(copy) != HOST {
        fdtable::set(copy, HOST);
    }
    sets::note_set(copy, set);
    watches::note_copy(old, copy);
    Ok(copy)
}

/// dup2(2)
pub fn dup2(c: &Call<'_>) -> Result {
    let (old, new) = (c.args[0] as u32 as usize, c.args[1] as u32 as usize);
    if old == new {
        return match fdtable::class(old) {
            RESERVED => Err(Errno::EBADF),
            _ => c.to_host(),
        };
    }
    copy_onto(c, old, new, 0)
}

/// dup3(2)
pub fn dup3(c: &Call<'_>) -> Result {
    let (old, new) = (c.args[0] as u32 as usize, c.args[1] as u32 as usize);
    if old == new || c.args[2] & !CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    copy_onto(c, old, new, c.args[2])
}

fn copy_onto(c: &Call<'_>, old: usize, new: usize, flags: usize) -> Result {
    let (from, onto) = (fdtable::class(old), fdtable::class(new));
    if onto == RESERVED || from == RESERVED {
        return Err(Errno::EBADF);
    }
    match (from, onto) {
        (KERNEL | WATCHES, _) => {
            enter_kernel(|context| copy_pair_onto(context, old, new, flags & CLOEXEC != 0))
        }
        (fdtable::LOST, _) => Err(fdtable::refuse(fdtable::LOST)),
        (_, KERNEL | WATCHES) => enter_kernel(|context| {
            let r = copy_of_host(c, old)?;
            let _ = context.call(libc::SYS_close, &args([new]));
            Ok(r)
        }),
        _ => copy_of_host(c, old),
    }
}

/// fcntl(2)
pub fn fcntl(c: &Call<'_>) -> Result {
    let class = fdtable::class(c.args[0]);
    let command = c.args[1] as i32;
    match (class, command) {
        (HOST, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) => copy_of_host(c, c.args[0]),
        (HOST, _) => c.to_host(),
        (_, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) => {
            copy_up(c, c.args[0], c.args[2], command == libc::F_DUPFD_CLOEXEC)
        }
        (INOTIFY | WATCHES, _) => c.to_host(),
        // Close-on-exec belongs to the number, and the number is the host's.
        (KERNEL, libc::F_GETFD | libc::F_SETFD) => c.to_host(),
        (KERNEL, libc::F_GETLK) => owner::get_lock(c),
        (KERNEL, libc::F_SETOWN | owner::F_SETOWN_EX) => owner::set(c),
        (KERNEL, libc::F_GETOWN | owner::F_GETOWN_EX) => owner::get(c),
        (KERNEL, libc::F_NOTIFY) => {
            let r = c.to_kernel();
            say_once!("fcntl: F_NOTIFY of a directory in a mount is not there (EINVAL); inotify is");
            r
        }
        (KERNEL, _) => c.to_kernel(),
        (other, _) => Err(fdtable::refuse(other)),
    }
}

/// ioctl(2)
pub fn ioctl(c: &Call<'_>) -> Result {
    match (fdtable::owner(c.args[0])?, c.args[1] as u32 as u64) {
        (Owner::Host, libc::FIONREAD) => inotify::unread(c),
        (Owner::Host, _) => c.to_host(),
        (Owner::Kernel, request @ (libc::FIOCLEX | libc::FIONCLEX)) => {
            // Close-on-exec belongs to the number, and the number is the host's, where the placeholder takes no ioctl.
            let r = c.to_kernel()?;
            fs::set_cloexec(c.args[0] as i32, request == libc::FIOCLEX);
            Ok(r)
        }
        (Owner::Kernel, _)
            if matches!(
                c.args[1],
                owner::FIOSETOWN | owner::SIOCSPGRP | owner::FIOGETOWN | owner::SIOCGPGRP
            ) =>
        {
            owner::ioctl(c)
        }
        (Owner::Kernel, btrfs_send::REQUEST) => btrfs_send::send(c),
        (Owner::Kernel, _) => clone_aware(c),
    }
}

/// FICLONE names a second descriptor in its argument: a file of the host is on another file system.
fn clone_aware(c: &Call<'_>) -> Result {
    const FICLONE: usize = 0x4004_9409;
    if c.args[1] == FICLONE && fdtable::class(c.args[2]) != KERNEL {
        return Err(Errno::EXDEV);
    }
    c.to_kernel()
}
