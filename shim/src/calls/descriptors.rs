// SPDX-License-Identifier: GPL-2.0-only
//! Making, copying and closing descriptors: the two tables kept in step.
//!
//! Order: a number is taken on the host first and given back there last, so that whatever the kernel's
//! table does at that number is seen by nobody else.

use crate::calls::Call;
use crate::fdtable::{self, EPOLL_EMPTY, HOST, KERNEL, RESERVED};
use crate::instance::enter::{section, Door};
use crate::lookup::route::{create_at_path, look_at_path, Spot, AT_FDCWD};
use crate::sys::errno::{EBADF, EINVAL, EISDIR};
use crate::sys::host::{self, Args, Ret};
use crate::sys::identity::Identity;

const CLOEXEC: usize = libc::O_CLOEXEC as usize;
/// O_DIRECT is taken off: application memory has no page structures in the kernel library, so direct I/O
/// goes through its page cache. The alignment rules it would impose are thereby relaxed.
const DIRECT: usize = libc::O_DIRECT as usize;
/// Flags of open(2) that do more than to look.
const MAKES: usize = (libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY) as usize;

/// Inside a section: opens something in the kernel with `make` and gives it the same number on both sides.
/// `make` gets the wanted number and returns the one it got.
pub fn open_same(door: &mut Door<'_>, cloexec: bool, make: impl FnOnce(&mut Door<'_>, i32) -> Ret) -> Ret {
    let want = fdtable::placeholder(0, cloexec);
    if want < 0 {
        return want;
    }
    let got = make(door, want as i32);
    if got < 0 {
        host::close(want as i32);
        return got;
    }
    let r = if got == want { want } else { settle(door, got as usize, want as usize) };
    if r < 0 {
        host::close(want as i32);
        return r;
    }
    fdtable::set(want as usize, KERNEL);
    want
}

/// The kernel gave number `got` although `want` was asked for: `want` is held for a moment by another
/// thread's open in the same position. Everybody first clears the number it did not want, so nobody waits
/// for somebody who waits.
fn settle(door: &mut Door<'_>, got: usize, want: usize) -> Ret {
    const PARKING: usize = 1 << 12;
    let dup = libc::F_DUPFD_CLOEXEC as usize;
    let parked = door.call(libc::SYS_fcntl, &[got, dup, PARKING.max(want + 1), 0, 0, 0]);
    door.call(libc::SYS_close, &[got, 0, 0, 0, 0, 0]);
    if parked < 0 {
        return parked;
    }
    loop {
        let now = door.call(libc::SYS_fcntl, &[parked as usize, dup, want, 0, 0, 0]);
        if now == want as isize || now < 0 {
            door.call(libc::SYS_close, &[parked as usize, 0, 0, 0, 0, 0]);
            return now;
        }
        door.call(libc::SYS_close, &[now as usize, 0, 0, 0, 0, 0]);
        host::call(libc::SYS_sched_yield, &[]);
    }
}

/// openat with the flags of open(2) in `args[2]`.
fn open_at(args: Args) -> Ret {
    let flags = args[2];
    let creates_only =
        flags & (libc::O_CREAT | libc::O_EXCL) as usize == (libc::O_CREAT | libc::O_EXCL) as usize;
    let follow = flags & libc::O_NOFOLLOW as usize == 0 && !creates_only;
    let call = |spot: &Spot| {
        let mut args = args;
        if spot.is_host() {
            (args[0], args[1]) = (spot.dirfd as usize, spot.path);
            return host::forward(libc::SYS_openat as usize, &args);
        }
        if flags & libc::O_CREAT as usize != 0 && spot.has_slash_behind_root() {
            return EISDIR;
        }
        section(|door| {
            let (dirfd, path) = match spot.kernel_at(door) {
                Ok(place) => place,
                Err(e) => return e,
            };
            let call = [dirfd, path, flags & !DIRECT, args[3], 0, 0];
            open_same(door, flags & CLOEXEC != 0, |door, want| door.call_at(libc::SYS_openat, &call, want))
        })
    };
    if flags & MAKES != 0 {
        return create_at_path(args[0], args[1], follow.into(), call);
    }
    // A directory is opened for reading only.
    let reads =
        flags & libc::O_ACCMODE as usize == libc::O_RDONLY as usize || flags & libc::O_PATH as usize != 0;
    let found = |_: &Spot, fd: Ret| usize::try_from(fd).ok().filter(|_| reads).and_then(Identity::of);
    let undo = |fd: Ret| {
        if fd >= 0 {
            host::close(fd as i32);
        }
    };
    look_at_path(args[0], args[1], follow, call, found, undo)
}

/// open(2)
pub fn open(c: &Call<'_>) -> Ret {
    open_at([AT_FDCWD as usize, c.args[0], c.args[1], c.args[2], 0, 0])
}

/// openat(2)
pub fn openat(c: &Call<'_>) -> Ret {
    open_at(c.args)
}

/// creat(2)
pub fn creat(c: &Call<'_>) -> Ret {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    open_at([AT_FDCWD as usize, c.args[0], flags as usize, c.args[1], 0, 0])
}

/// openat2(2)
pub fn openat2(c: &Call<'_>) -> Ret {
    let how: [u64; 3] = match crate::sys::user::read(c.args[2]) {
        Ok(how) => how,
        Err(e) => return e,
    };
    let follow = how[0] as usize & libc::O_NOFOLLOW as usize == 0;
    create_at_path(c.args[0], c.args[1], follow.into(), |spot| {
        let mut args = c.args;
        if spot.is_host() {
            (args[0], args[1]) = (spot.dirfd as usize, spot.path);
            return host::forward(c.nr, &args);
        }
        if args[3] != size_of_val(&how) {
            return EINVAL;
        }
        section(|door| {
            let how = [how[0] & !(DIRECT as u64), how[1], how[2]];
            let (dirfd, path) = match spot.kernel_at(door) {
                Ok(place) => place,
                Err(e) => return e,
            };
            let call = [dirfd, path, how.as_ptr() as usize, size_of_val(&how), 0, 0];
            let cloexec = how[0] as usize & CLOEXEC != 0;
            open_same(door, cloexec, |door, want| door.call_at(libc::SYS_openat2, &call, want))
        })
    })
}

/// open_by_handle_at(2)
pub fn open_by_handle_at(c: &Call<'_>) -> Ret {
    match fdtable::class(c.args[0]) {
        HOST | EPOLL_EMPTY => c.to_host(),
        KERNEL => section(|door| {
            let args = [c.args[0], c.args[1], c.args[2] & !DIRECT, 0, 0, 0];
            open_same(door, args[2] & CLOEXEC != 0, |door, want| door.call_at(c.nr as i64, &args, want))
        }),
        other => fdtable::refuse(other),
    }
}

/// close(2)
pub fn close(c: &Call<'_>) -> Ret {
    match fdtable::class(c.args[0]) {
        HOST => c.to_host(),
        KERNEL => close_kernel(c.args[0]),
        RESERVED => EBADF,
        _ => {
            fdtable::set(c.args[0] as u32 as usize, HOST);
            c.to_host()
        }
    }
}

fn close_kernel(number: usize) -> Ret {
    let number = number as u32 as usize;
    section(|door| {
        // Closed whatever close says (close(2), "Dealing with error returns").
        let r = door.call(libc::SYS_close, &[number, 0, 0, 0, 0, 0]);
        fdtable::set(number, HOST);
        host::close(number as i32);
        r
    })
}

/// close_range(2)
pub fn close_range(c: &Call<'_>) -> Ret {
    let (first, last, flags) = (c.args[0] as u32 as usize, c.args[1] as u32 as usize, c.args[2]);
    let known = (libc::CLOSE_RANGE_CLOEXEC | libc::CLOSE_RANGE_UNSHARE) as usize;
    if first > last || flags & !known != 0 || !fdtable::any_special(first, last) {
        return c.to_host();
    }
    let closes = flags & libc::CLOSE_RANGE_CLOEXEC as usize == 0;
    if closes {
        for number in fdtable::numbers(KERNEL, first, last) {
            close_kernel(number);
        }
    }
    let mut from = first;
    let reserved = fdtable::numbers(RESERVED, first, last).chain(core::iter::once(last + 1));
    let mut result = 0;
    for stop in reserved {
        if stop > from {
            let r = host::call(libc::SYS_close_range, &[from, stop - 1, flags]);
            if r < 0 {
                result = r;
            } else if closes {
                fdtable::forget(from, stop - 1);
            }
        }
        from = stop + 1;
    }
    result
}

/// dup(2)
pub fn dup(c: &Call<'_>) -> Ret {
    copy_up(c, c.args[0], 0, false)
}

/// dup and F_DUPFD: to the lowest free number from `min` on.
fn copy_up(c: &Call<'_>, old: usize, min: usize, cloexec: bool) -> Ret {
    match fdtable::class(old) {
        HOST => c.to_host(),
        // The copy of an empty set could become the kernel's only together with it: decided for the host.
        EPOLL_EMPTY => {
            fdtable::set(old, HOST);
            c.to_host()
        }
        KERNEL => {
            if min >= fdtable::LIMIT {
                return EINVAL;
            }
            section(|door| {
                let number = fdtable::placeholder(min, cloexec);
                if number < 0 {
                    return number;
                }
                finish_copy(door, old, number as usize, cloexec)
            })
        }
        other => fdtable::refuse(other),
    }
}

/// The kernel's part of a copy to `new`, where the host has its placeholder.
fn finish_copy(door: &mut Door<'_>, old: usize, new: usize, cloexec: bool) -> Ret {
    let flags = if cloexec { CLOEXEC } else { 0 };
    let r = door.call(libc::SYS_dup3, &[old, new, flags, 0, 0, 0]);
    if r < 0 {
        host::close(new as i32);
        return r;
    }
    fdtable::set(new, KERNEL);
    new as isize
}

/// dup2(2)
pub fn dup2(c: &Call<'_>) -> Ret {
    let (old, new) = (c.args[0] as u32 as usize, c.args[1] as u32 as usize);
    if old == new {
        return match fdtable::class(old) {
            RESERVED => EBADF,
            _ => c.to_host(),
        };
    }
    copy_onto(c, old, new, 0)
}

/// dup3(2)
pub fn dup3(c: &Call<'_>) -> Ret {
    let (old, new) = (c.args[0] as u32 as usize, c.args[1] as u32 as usize);
    if old == new || c.args[2] & !CLOEXEC != 0 {
        return EINVAL;
    }
    copy_onto(c, old, new, c.args[2])
}

fn copy_onto(c: &Call<'_>, old: usize, new: usize, flags: usize) -> Ret {
    let (from, onto) = (fdtable::class(old), fdtable::class(new));
    if onto == RESERVED || from == RESERVED {
        return EBADF;
    }
    if from == EPOLL_EMPTY {
        fdtable::set(old, HOST);
    }
    match (from, onto) {
        (KERNEL, _) => section(|door| {
            let r = fdtable::placeholder_at(new, flags & CLOEXEC != 0);
            if r < 0 {
                return r;
            }
            if new >= fdtable::LIMIT {
                host::close(new as i32);
                return EBADF;
            }
            finish_copy(door, old, new, flags & CLOEXEC != 0)
        }),
        (fdtable::LOST, _) => fdtable::refuse(fdtable::LOST),
        (_, KERNEL) => section(|door| {
            let r = host::forward(c.nr, &c.args);
            if r >= 0 {
                door.call(libc::SYS_close, &[new, 0, 0, 0, 0, 0]);
                fdtable::set(new, HOST);
            }
            r
        }),
        _ => {
            let r = c.to_host();
            if r >= 0 && onto != HOST {
                fdtable::set(new, HOST);
            }
            r
        }
    }
}

/// fcntl(2)
pub fn fcntl(c: &Call<'_>) -> Ret {
    let class = fdtable::class(c.args[0]);
    let command = c.args[1] as i32;
    match (class, command) {
        (HOST, _) => c.to_host(),
        (_, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) => {
            copy_up(c, c.args[0], c.args[2], command == libc::F_DUPFD_CLOEXEC)
        }
        (EPOLL_EMPTY, _) => c.to_host(),
        // Close-on-exec belongs to the number, and the number is the host's.
        (KERNEL, libc::F_GETFD | libc::F_SETFD) => c.to_host(),
        (KERNEL, libc::F_SETFL) => {
            let mut args = c.args;
            args[2] &= !DIRECT;
            crate::instance::enter::forward(c.nr, &args)
        }
        (KERNEL, _) => c.to_kernel(),
        (other, _) => fdtable::refuse(other),
    }
}

/// ioctl(2)
pub fn ioctl(c: &Call<'_>) -> Ret {
    match (fdtable::class(c.args[0]), c.args[1] as u64) {
        (HOST | EPOLL_EMPTY, _) | (KERNEL, libc::FIOCLEX | libc::FIONCLEX) => c.to_host(),
        (KERNEL, _) => clone_aware(c),
        (other, _) => fdtable::refuse(other),
    }
}

/// FICLONE names a second descriptor in its argument: from the host it is another file system.
fn clone_aware(c: &Call<'_>) -> Ret {
    const FICLONE: usize = 0x4004_9409;
    if c.args[1] == FICLONE && fdtable::class(c.args[2]) != KERNEL {
        return crate::sys::errno::EXDEV;
    }
    c.to_kernel()
}
