// SPDX-License-Identifier: GPL-2.0-only
//! epoll(7).

use crate::fdtable::{self, Owner, EPOLL_EMPTY, HOST, KERNEL};
use crate::instance::enter::{self, enter_kernel};
use crate::instance::pair::{close_pair, open_pair};
use crate::signals::mask::{asked, with_mask};
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs;
use crate::sys::report::say_once;
use crate::sys::settings::settings;
use crate::sys::user;
use crate::wait::masked::{check_time, wait_in_kernel};

/// epoll_create(2) and epoll_create1(2): the host's until the first member decides.
pub fn epoll_create(c: &Call<'_>) -> Result {
    let fd = c.to_host()?;
    if settings().is_active() {
        fdtable::set(fd, EPOLL_EMPTY);
    }
    Ok(fd)
}

/// epoll_ctl(2)
pub fn epoll_ctl(c: &Call<'_>) -> Result {
    let (set, member) = (c.args[0] as u32 as usize, c.args[2] as u32 as usize);
    match (fdtable::class(set), fdtable::class(member)) {
        (_, fdtable::RESERVED) | (fdtable::RESERVED, _) => Err(Errno::EBADF),
        (_, fdtable::LOST) | (fdtable::LOST, _) => Err(fdtable::refuse(fdtable::LOST)),
        (EPOLL_EMPTY, KERNEL) if !is_never_polled(member) => {
            become_kernel_set(set)?;
            c.to_kernel()
        }
        (KERNEL, KERNEL) => c.to_kernel(),
        (HOST | EPOLL_EMPTY, KERNEL) | (KERNEL, _) => Err(why_not(c, set, member)),
        (class, _) => {
            let r = c.to_host()?;
            if class == EPOLL_EMPTY {
                fdtable::set(set, HOST);
            }
            Ok(r)
        }
    }
}

/// Why the two, of which one is the kernel's and the other the host's, do not go together: what is wrong with either comes
/// first, in the order of fs/eventpoll.c (`do_epoll_ctl`).
#[cold]
fn why_not(c: &Call<'_>, set: usize, member: usize) -> Errno {
    if c.args[1] as i32 != libc::EPOLL_CTL_DEL && user::read::<[u8; 12]>(c.args[3]).is_err() {
        return Errno::EFAULT;
    }
    let closed = |number| match fdtable::class(number) {
        KERNEL => enter::open_flags(number).err(),
        _ => fs::open_flags(number as i32).err(),
    };
    if let Some(e) = closed(set).or_else(|| closed(member)) {
        return e;
    }
    let member_is_polled = match fdtable::class(member) {
        KERNEL => !is_never_polled(member),
        // The host knows; an O_PATH descriptor is not open to such calls.
        _ => match call::host(libc::SYS_epoll_ctl, &[member, DELETE, member, 0, 0, 0]) {
            Err(Errno::EINVAL) => true,
            Err(Errno::EPERM) => false,
            _ => return Errno::EBADF,
        },
    };
    if !member_is_polled {
        return Errno::EPERM;
    }
    if !is_set(set) {
        return Errno::EINVAL;
    }
    match c.args[1] as i32 {
        libc::EPOLL_CTL_ADD => {
            say_once!(
                "epoll_ctl: files of the host and of the kernel in one epoll set are not supported (EPERM)"
            );
            Errno::EPERM
        }
        libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL => Errno::ENOENT,
        _ => Errno::EINVAL,
    }
}

const DELETE: usize = libc::EPOLL_CTL_DEL as usize;

/// Whether an open descriptor is an epoll set.
fn is_set(number: usize) -> bool {
    if fdtable::class(number) == KERNEL {
        // Of the files without a type, a kernel here opens no other kind.
        return kernel_type(number) == Ok(0);
    }
    let mut text = [0; 32];
    fs::read_fd_link(number as i32, &mut text).is_ok_and(|n| &text[..n] == b"anon_inode:[eventpoll]")
}

/// The type in the mode of a kernel's descriptor.
fn kernel_type(number: usize) -> Result<u32> {
    let status =
        fs::filled_stat(|to| enter_kernel(|context| context.call(libc::SYS_fstat, &args([number, to]))))?;
    Ok(status.st_mode & libc::S_IFMT)
}

/// Whether a kernel's descriptor is of a file or directory: no kernel takes one into an epoll set (fs/eventpoll.c), so
/// programs that try (Go's runtime, with everything it opens) count on that.
fn is_never_polled(number: usize) -> bool {
    kernel_type(number).is_ok_and(|kind| matches!(kind, libc::S_IFREG | libc::S_IFDIR))
}

/// An empty host set at `number` becomes an empty kernel set at the same number.
fn become_kernel_set(number: usize) -> Result {
    let cloexec = fs::is_cloexec(number as i32) == Ok(true);
    enter_kernel(|context| {
        // Made at a number of its own first: `number` is not free on the host.
        let made = open_pair(context, cloexec, |context, want| {
            context.call_at(libc::SYS_epoll_create1, &[0; 6], want)
        })?;
        let moved = fdtable::placeholder_at(number, cloexec)
            .and_then(|_| context.call(libc::SYS_dup3, &args([made, number])));
        if moved.is_ok() {
            fdtable::set(number, KERNEL);
        }
        let _ = close_pair(context, made);
        moved
    })
}

/// epoll_wait(2), epoll_pwait(2), epoll_pwait2(2)
pub fn epoll_wait(c: &Call<'_>) -> Result {
    let is_masked = c.nr != libc::SYS_epoll_wait as usize;
    if c.nr == libc::SYS_epoll_pwait2 as usize {
        check_time(c.args[3])?;
    }
    match fdtable::owner(c.args[0])? {
        Owner::Host if is_masked => with_mask(&c.args, 4, |args| c.to_host_with(args)),
        Owner::Host => c.to_host(),
        Owner::Kernel if is_masked => {
            let mut args = c.args;
            args[4] = 0;
            wait_in_kernel(c.nr as i64, &args, asked(c.args[4], c.args[5])?)
        }
        Owner::Kernel => c.to_kernel(),
    }
}
