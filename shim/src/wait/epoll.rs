// SPDX-License-Identifier: GPL-2.0-only
//! epoll(7).
//!
//! A set begins as the host's. Its files of the host stay in that *host half*. With its first file of the kernel library the
//! set gets a *kernel half* at the same number (`fdtable::sets`, `join`). A set whose one half is empty is served by the
//! other one alone; a wait in both halves is in `epoll_both`.

use crate::fdtable::joined;
use crate::fdtable::sets::{self, set_at, Set};
use crate::fdtable::{self, stand_in, Owner, HOST, KERNEL};
use crate::instance::enter::{self, enter_kernel};
use crate::signals::mask::{asked, with_mask};
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::report::say_once;
use crate::sys::settings::settings;
use crate::sys::{fs, user};
use crate::wait::epoll_both::{wait_in_both, without_marks};
use crate::wait::join;
use crate::wait::masked::{check_time, wait_in_kernel};
use crate::wait::timeout::Timeout;

/// epoll_create(2) and epoll_create1(2): the host half.
pub fn epoll_create(c: &Call<'_>) -> Result {
    let fd = c.to_host()?;
    if settings().is_active() {
        sets::note_new_set(fd);
    }
    Ok(fd)
}

/// epoll_ctl(2)
pub fn epoll_ctl(c: &Call<'_>) -> Result {
    let (set, member) = (c.args[0] as u32 as usize, c.args[2] as u32 as usize);
    match (fdtable::waited_class(set), fdtable::waited_class(member)) {
        (_, fdtable::RESERVED) | (fdtable::RESERVED, _) => Err(Errno::EBADF),
        (_, fdtable::LOST) | (fdtable::LOST, _) => Err(fdtable::refuse(fdtable::LOST)),
        (KERNEL, _) if set_at(set) == Set::Unknown => no_set(c, set, member),
        (HOST, HOST) => in_host_half(c, set),
        (KERNEL, HOST) => in_host_half(c, set),
        (HOST, KERNEL) => {
            check_before_joining(c, set, member)?;
            join::add_kernels_half(set)?;
            in_kernel_half(c, member)
        }
        _ => in_kernel_half(c, member),
    }
}

fn is_addition(c: &Call<'_>) -> bool {
    c.args[1] as i32 == libc::EPOLL_CTL_ADD
}

fn in_host_half(c: &Call<'_>, set: usize) -> Result {
    let r = match stand_in::of(c.args[2] as u32 as usize) {
        Some(fd) => c.to_host_with(&args([c.args[0], c.args[1], fd, c.args[3]]))?,
        None => c.to_host()?,
    };
    if is_addition(c) {
        match set_at(set) {
            Set::Empty => sets::note_set(set, Set::Host),
            Set::Kernel => join::has_hosts_file(set),
            _ => {}
        }
    }
    Ok(r)
}

/// A member of the kernel library. One that is a set has a host half, too, and both halves go into those of the set.
fn in_kernel_half(c: &Call<'_>, member: usize) -> Result {
    if is_addition(c) {
        joined::note(member);
    }
    if set_at(member) == Set::Unknown {
        return c.to_kernel();
    }
    if is_addition(c) && user::read::<u32>(c.args[3])? & libc::EPOLLONESHOT as u32 != 0 {
        say_once!(
            "epoll_ctl: an epoll set with files of the kernel inside cannot be a member of another one with EPOLLONESHOT (EPERM)"
        );
        return Err(Errno::EPERM);
    }
    sets::note_nested();
    c.to_kernel()?;
    in_host_half(c, c.args[0] as u32 as usize).inspect_err(|_| {
        if is_addition(c) {
            let undo = args([c.args[0], libc::EPOLL_CTL_DEL as usize, c.args[2]]);
            let _ = enter_kernel(|context| context.call(libc::SYS_epoll_ctl, &undo));
        }
    })
}

/// A descriptor of the kernel library's that is no set, as the first argument.
#[cold]
fn no_set(c: &Call<'_>, set: usize, member: usize) -> Result {
    match fdtable::class(member) {
        KERNEL => c.to_kernel(),
        _ => Err(check_arguments(c, set, member).err().unwrap_or(Errno::EINVAL)),
    }
}

/// What is wrong with a call whose member is the first of the kernel library in this set: in the order of fs/eventpoll.c
/// (`do_epoll_ctl`).
fn check_before_joining(c: &Call<'_>, set: usize, member: usize) -> Result<()> {
    check_arguments(c, set, member)?;
    if set_at(set) == Set::Unknown && !fs::is_epoll_set(set as i32) {
        return Err(Errno::EINVAL);
    }
    match c.args[1] as i32 {
        libc::EPOLL_CTL_ADD => Ok(()),
        libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL => Err(Errno::ENOENT),
        _ => Err(Errno::EINVAL),
    }
}

/// What is wrong with the event, the set's descriptor or the member.
fn check_arguments(c: &Call<'_>, set: usize, member: usize) -> Result<()> {
    if c.args[1] as i32 != libc::EPOLL_CTL_DEL {
        user::read::<[u8; 12]>(c.args[3])?;
    }
    for number in [set, member] {
        match fdtable::class(number) {
            KERNEL => enter::open_flags(number)?,
            _ => fs::open_flags(number as i32)?,
        };
    }
    let is_polled = match fdtable::class(member) {
        KERNEL => !is_never_polled(member),
        // The host knows; an O_PATH descriptor is not open to such calls.
        _ => match call::host(libc::SYS_epoll_ctl, &[member, DELETE, member, 0, 0, 0]) {
            Err(Errno::EINVAL) => true,
            Err(Errno::EPERM) => false,
            _ => return Err(Errno::EBADF),
        },
    };
    if is_polled {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

const DELETE: usize = libc::EPOLL_CTL_DEL as usize;

/// Whether a kernel's descriptor is of a file or directory: no kernel takes one into an epoll set (fs/eventpoll.c), so
/// programs that try (Go's runtime, with everything it opens) count on that.
fn is_never_polled(number: usize) -> bool {
    let status =
        fs::filled_stat(|to| enter_kernel(|context| context.call(libc::SYS_fstat, &args([number, to]))));
    status.is_ok_and(|status| matches!(status.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR))
}

/// epoll_wait(2), epoll_pwait(2), epoll_pwait2(2)
pub fn epoll_wait(c: &Call<'_>) -> Result {
    let set = c.args[0] as u32 as usize;
    let is_pwait2 = c.nr == libc::SYS_epoll_pwait2 as usize;
    if is_pwait2 {
        check_time(c.args[3])?;
    }
    if set_at(set) == Set::Both {
        return wait_in_both(c, timeout(c)?, mask(c)?);
    }
    let is_look = !is_pwait2 && c.args[3] as i32 == 0;
    if is_look || !settings().is_active() {
        return wait_in_one(c);
    }
    sleep_in_one(c, set)
}

fn timeout(c: &Call<'_>) -> Result<Timeout> {
    match c.nr == libc::SYS_epoll_pwait2 as usize {
        true => Timeout::of_timespec(c.args[3]),
        false => Ok(Timeout::of_ms(c.args[3] as i32)),
    }
}

fn is_masked(c: &Call<'_>) -> bool {
    c.nr != libc::SYS_epoll_wait as usize
}

fn mask(c: &Call<'_>) -> Result<Option<u64>> {
    if is_masked(c) {
        asked(c.args[4], c.args[5])
    } else {
        Ok(None)
    }
}

/// A wait that may take some time, in the only half that has members. Meanwhile the other one may get some.
fn sleep_in_one(c: &Call<'_>, set: usize) -> Result {
    let mut timeout = timeout(c)?;
    let began = if timeout.ends() { lkl::sys::time::monotonic_coarse_ns() } else { 0 };
    sets::begins_to_sleep(set);
    // No frame of ours is in the way of a handler that leaves the wait: the count is too high then (`join`).
    let r = if set_at(set) == Set::Both { Ok(None) } else { wait_in_one(c).map(Some) };
    sets::has_slept(set);
    let r = match r? {
        Some(events) if events > 0 && join::may_be_marked() => without_marks(c, events)?,
        r => r,
    };
    match r {
        Some(events) => Ok(events),
        None => {
            timeout.began_at(began);
            wait_in_both(c, timeout, mask(c)?)
        }
    }
}

/// A wait in the only half that has members.
fn wait_in_one(c: &Call<'_>) -> Result {
    match fdtable::owner(c.args[0])? {
        Owner::Host if is_masked(c) => with_mask(&c.args, 4, |args| c.to_host_with(args)),
        Owner::Host => c.to_host(),
        Owner::Kernel if is_masked(c) => {
            let mut args = c.args;
            args[4] = 0;
            wait_in_kernel(c.nr as i64, &args, mask(c)?)
        }
        Owner::Kernel => c.to_kernel(),
    }
}
