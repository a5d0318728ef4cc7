// SPDX-License-Identifier: GPL-2.0-only
//! epoll(7).

use crate::fdtable::{self, Owner, EPOLL_EMPTY, HOST, KERNEL};
use crate::instance::enter::enter_kernel;
use crate::instance::pair::{close_pair, open_pair};
use crate::signals::mask::{under_mask, with_mask};
use crate::sys::call::{args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs;
use crate::sys::report::say_once;
use crate::sys::settings::settings;

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
    let (set, member) = (c.args[0] as u32 as usize, c.args[2]);
    match (fdtable::class(set), fdtable::class(member)) {
        (_, fdtable::RESERVED) | (fdtable::RESERVED, _) => Err(Errno::EBADF),
        (_, fdtable::LOST) | (fdtable::LOST, _) => Err(fdtable::refuse(fdtable::LOST)),
        (_, KERNEL) if is_never_polled(member) => Err(Errno::EPERM),
        (EPOLL_EMPTY, KERNEL) => {
            become_kernel_set(set)?;
            c.to_kernel()
        }
        (KERNEL, KERNEL) => c.to_kernel(),
        (HOST, KERNEL) | (KERNEL, _) => {
            say_once!(
                "epoll_ctl: files of the host and of the kernel in one epoll set are not supported (EPERM)"
            );
            Err(Errno::EPERM)
        }
        (class, _) => {
            let r = c.to_host()?;
            if class == EPOLL_EMPTY {
                fdtable::set(set, HOST);
            }
            Ok(r)
        }
    }
}

/// Whether a kernel's descriptor is of a file or directory: no kernel takes one into an epoll set (fs/eventpoll.c), so
/// programs that try (Go's runtime, with everything it opens) count on that.
fn is_never_polled(number: usize) -> bool {
    let status =
        fs::filled_stat(|to| enter_kernel(|context| context.call(libc::SYS_fstat, &args([number, to]))));
    status.is_ok_and(|status| matches!(status.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR))
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
    match fdtable::owner(c.args[0])? {
        Owner::Host if is_masked => with_mask(&c.args, 4, |args| c.to_host_with(args)),
        Owner::Host => c.to_host(),
        Owner::Kernel if is_masked => {
            let mut args = c.args;
            args[4] = 0;
            under_mask(c.args[4], || enter_kernel(|context| context.call(c.nr as i64, &args)))
        }
        Owner::Kernel => c.to_kernel(),
    }
}
