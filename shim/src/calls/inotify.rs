// SPDX-License-Identifier: GPL-2.0-only
//! inotify(7): one descriptor that watches paths of mounts and of the host together.
//!
//! The descriptor is the host's: the program waits for it, has its signals, and reads from it. Watches in mounts are those of an
//! inotify file of the kernel library (`fdtable::watches`). When that file has an event, the host's descriptor gets one from the
//! file's chime. A read takes that event out, and puts those of the kernel library behind what the host had.

use crate::fdtable::{self, watches, KERNEL, LOST, RESERVED, WATCHES};
use crate::instance::enter::{self, enter_kernel};
use crate::instance::watches::{add_on_host, begin, check, is_rung};
use crate::lookup::route::{with_path, PathArg};
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::settings::settings;
use crate::sys::user;

/// `struct inotify_event` without its name: number of the watch, mask, cookie, length of the name. The length is a multiple of
/// these 16 bytes (fs/notify/inotify/inotify_user.c, `round_event_name_len`).
type Event = [u32; 4];
const EVENT: usize = size_of::<Event>();

/// inotify_init(2) and inotify_init1(2)
pub fn init(c: &Call<'_>) -> Result {
    let fd = c.to_host()?;
    if settings().is_active() {
        watches::note_new(fd);
    }
    Ok(fd)
}

/// inotify_add_watch(2)
pub fn add_watch(c: &Call<'_>) -> Result {
    let [fd, path, mask, ..] = c.args;
    match fdtable::class(fd) {
        KERNEL => return Err(enter::not_of_kind(fd, Errno::EINVAL)),
        class @ (RESERVED | LOST) => return Err(fdtable::refuse(class)),
        _ if !settings().is_active() => return c.to_host(),
        _ => {}
    }
    let follow = mask & libc::IN_DONT_FOLLOW as usize == 0;
    with_path(
        PathArg::plain(path, follow),
        |at| {
            let made = add_on_host(fd, || c.to_host_with(&args([fd, at.path, mask])))?;
            watches::note_watch(fd, made);
            Ok(made)
        },
        |context, at| {
            check(fd, mask)?;
            begin(context, fd as u32 as usize)?;
            context.call(lkl::Private::WatchAdd as i64, &args([fd, at.dirfd, at.path, mask]))
        },
    )
}

/// inotify_rm_watch(2)
pub fn rm_watch(c: &Call<'_>) -> Result {
    match fdtable::class(c.args[0]) {
        KERNEL => return Err(enter::not_of_kind(c.args[0], Errno::EINVAL)),
        class @ (RESERVED | LOST) => return Err(fdtable::refuse(class)),
        _ => {}
    }
    match watches::chime(c.args[0]) {
        None => c.to_host(),
        Some(chime) if chime == c.args[1] as i32 => Err(Errno::EINVAL),
        Some(_) => match c.to_kernel() {
            Err(Errno::EINVAL) => c.to_host(),
            r => r,
        },
    }
}

/// read(2) of an inotify descriptor.
pub fn read(c: &Call<'_>) -> Result {
    let [fd, at, size, ..] = c.args;
    read_to(c, fd, at, size)
}

/// readv(2): a read for each part, until one is not filled (fs/read_write.c, `do_loop_readv_writev`).
pub fn readv(c: &Call<'_>) -> Result {
    let [fd, parts, count, ..] = c.args;
    if count == 0 || count > libc::UIO_MAXIOV as usize {
        return c.to_host();
    }
    let mut done = 0;
    for number in 0..count {
        let [at, size]: [usize; 2] = user::read(parts + number * size_of::<libc::iovec>())?;
        if size == 0 {
            continue;
        }
        match read_to(c, fd, at, size) {
            Ok(n) => {
                done += n;
                if n < size {
                    break;
                }
            }
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// preadv2(2): with no offset and no flags as readv(2). The host has errors for the rest.
pub fn preadv2(c: &Call<'_>) -> Result {
    match (c.args[3] as isize, c.args[5] as u32) {
        (-1, 0) => readv(c),
        _ => c.to_host(),
    }
}

fn read_to(c: &Call<'_>, fd: usize, at: usize, size: usize) -> Result {
    let on_host = Call { nr: libc::SYS_read as usize, args: args([fd, at, size]), ..*c };
    loop {
        let read = on_host.to_host();
        let Some(chime) = watches::chime(fd) else { return read };
        if read == Err(Errno::EFAULT) {
            // A bad buffer takes events with it. The chime's may have been among them: those that it stands for go the same
            // way, and the chime is rung for what is left.
            let _ = enter_kernel(|context| read_in_kernel(context, fd, at, size));
        }
        let (left, is_heard) = without_chime(at, read?, chime)?;
        if !is_heard {
            return Ok(left);
        }
        let more = enter_kernel(|context| read_in_kernel(context, fd, at + left, size - left));
        match more {
            Ok(more) => return Ok(left + more),
            Err(_) if left > 0 => return Ok(left),
            // Another thread has read what the chime was rung for.
            Err(Errno::EAGAIN) => {}
            Err(e) => return Err(e),
        }
    }
}

fn read_in_kernel(context: &mut enter::KernelContext, fd: usize, at: usize, size: usize) -> Result {
    context.call(lkl::Private::WatchRead as i64, &args([fd, at, size]))
}

/// Takes the chime's events out of `size` bytes at `at`. How many bytes are left, and whether the kernel library may have
/// events: it may as well if the host has lost some.
fn without_chime(at: usize, size: usize, chime: i32) -> Result<(usize, bool)> {
    let (mut left, mut is_heard) = (0, false);
    let mut place = 0;
    while place + EVENT <= size {
        let event: Event = user::read(at + place)?;
        let len = EVENT + event[3] as usize;
        let is_chime = event[0] as i32 == chime;
        is_heard |= is_chime || event[1] & libc::IN_Q_OVERFLOW != 0;
        for part in (0..len.min(size - place)).step_by(EVENT).take_while(|_| !is_chime) {
            if left != place + part {
                user::write(at + left, &user::read::<Event>(at + place + part)?)?;
            }
            left += EVENT;
        }
        place += len;
    }
    Ok((left, is_heard))
}

/// ioctl(2) with FIONREAD: how many bytes there are to be read.
pub fn unread(c: &Call<'_>) -> Result {
    if fdtable::class(c.args[0]) != WATCHES {
        return c.to_host();
    }
    let (mut in_host, mut in_kernel, mut is_heard) = (0i32, 0i32, false);
    let ask = |to: &mut i32| args([c.args[0], c.args[1], core::ptr::from_mut(to) as usize]);
    enter_kernel(|context| {
        context.call(libc::SYS_ioctl, &ask(&mut in_kernel))?;
        is_heard = is_rung(context, c.args[0])?;
        Ok(0)
    })?;
    call::host(libc::SYS_ioctl, &ask(&mut in_host))?;
    let of_chime = if is_heard { EVENT as i32 } else { 0 };
    user::write(c.args[2], &((in_host - of_chime).max(0) + in_kernel))?;
    Ok(0)
}
