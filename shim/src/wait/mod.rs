// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for several descriptors: in one world at a time. A wait over both is refused with EINVAL (an
//! epoll set: EPERM when the second kind is added) until both can be waited for at once.
#![allow(unsafe_code)]

use crate::calls::descriptors::open_same;
use crate::calls::Call;
use crate::fdtable::{self, EPOLL_EMPTY, HOST, KERNEL};
use crate::instance::enter::section;
use crate::signals::actions;
use crate::sys::errno::{EBADF, EFAULT, EINVAL, EPERM};
use crate::sys::host::{self, Ret};
use crate::sys::report::say_once;
use crate::sys::user;

/// Which world the descriptors seen so far belong to.
#[derive(Default)]
struct Worlds {
    host: bool,
    kernel: bool,
    lost: bool,
}

impl Worlds {
    fn add(&mut self, number: usize) {
        match fdtable::class(number) {
            KERNEL => self.kernel = true,
            fdtable::LOST => self.lost = true,
            _ => self.host = true,
        }
    }

    /// True: all the kernel's. Err: both, or a lost one.
    fn is_kernel(&self) -> Result<bool, Ret> {
        if self.lost {
            return Err(fdtable::refuse(fdtable::LOST));
        }
        if self.kernel && self.host {
            say_once!(
                "poll, select: waiting for files of the host and of the kernel in one call is not \
                 supported (EINVAL)"
            );
            return Err(EINVAL);
        }
        Ok(self.kernel)
    }
}

/// poll(2) and ppoll(2)
pub fn poll(c: &Call<'_>) -> Ret {
    let is_ppoll = c.nr == libc::SYS_ppoll as usize;
    let to_host = || {
        if is_ppoll {
            return actions::with_mask(&c.args, 3, |args| host::forward(c.nr, args));
        }
        c.to_host()
    };
    if !fdtable::any_special_now() {
        return to_host();
    }
    let mut worlds = Worlds::default();
    for i in 0..c.args[1].min(fdtable::LIMIT) {
        match user::read::<libc::pollfd>(c.args[0] + i * size_of::<libc::pollfd>()) {
            Ok(entry) if entry.fd >= 0 => worlds.add(entry.fd as usize),
            Ok(_) => {}
            Err(_) => return EFAULT,
        }
    }
    match worlds.is_kernel() {
        Err(e) => e,
        Ok(false) => to_host(),
        Ok(true) if is_ppoll => {
            let mask = c.args[3];
            let mut args = c.args;
            args[3] = 0;
            actions::under_mask(mask, || section(|door| door.call(libc::SYS_ppoll, &args)))
        }
        Ok(true) => c.to_kernel(),
    }
}

/// select(2) and pselect6(2)
pub fn select(c: &Call<'_>) -> Ret {
    let is_pselect = c.nr == libc::SYS_pselect6 as usize;
    let to_host = || if is_pselect { pselect(c, true) } else { c.to_host() };
    if !fdtable::any_special_now() {
        return to_host();
    }
    let count = c.args[0] as u32 as usize;
    let mut worlds = Worlds::default();
    for set in &c.args[1..4] {
        if *set == 0 {
            continue;
        }
        for byte in 0..count.min(fdtable::LIMIT).div_ceil(8) {
            let bits: u8 = match user::read(set + byte) {
                Ok(bits) => bits,
                Err(e) => return e,
            };
            for bit in (0..8).filter(|bit| bits & (1 << bit) != 0) {
                if byte * 8 + bit < count {
                    worlds.add(byte * 8 + bit);
                }
            }
        }
    }
    match worlds.is_kernel() {
        Err(e) => e,
        Ok(false) => to_host(),
        Ok(true) if is_pselect => pselect(c, false),
        Ok(true) => c.to_kernel(),
    }
}

/// pselect6: the mask lies behind one more pointer, with its size (select(2), "C library/kernel differences").
fn pselect(c: &Call<'_>, on_host: bool) -> Ret {
    let mut args = c.args;
    let mut pair = [0usize, 8];
    if args[5] != 0 {
        pair = match user::read(args[5]) {
            Ok(pair) => pair,
            Err(e) => return e,
        };
    }
    if !on_host {
        args[5] = 0;
        return actions::under_mask(pair[0], || section(|door| door.call(libc::SYS_pselect6, &args)));
    }
    actions::with_mask(&[pair[0], 0, 0, 0, 0, 0], 0, |cleaned| {
        let pair = [cleaned[0], pair[1]];
        if args[5] != 0 {
            args[5] = pair.as_ptr() as usize;
        }
        host::forward(c.nr, &args)
    })
}

/// epoll_create(2) and epoll_create1(2): the host's until the first member decides.
pub fn epoll_create(c: &Call<'_>) -> Ret {
    let r = c.to_host();
    if r >= 0 && crate::sys::settings::settings().is_active() {
        fdtable::set(r as usize, EPOLL_EMPTY);
    }
    r
}

/// epoll_ctl(2)
pub fn epoll_ctl(c: &Call<'_>) -> Ret {
    let (set, member) = (c.args[0] as u32 as usize, c.args[2]);
    match (fdtable::class(set), fdtable::class(member)) {
        (_, fdtable::RESERVED) | (fdtable::RESERVED, _) => EBADF,
        (_, fdtable::LOST) | (fdtable::LOST, _) => fdtable::refuse(fdtable::LOST),
        (_, KERNEL) if is_never_polled(member) => EPERM,
        (EPOLL_EMPTY, KERNEL) => match become_kernel_set(set) {
            r if r < 0 => r,
            _ => c.to_kernel(),
        },
        (KERNEL, KERNEL) => c.to_kernel(),
        (HOST, KERNEL) | (KERNEL, _) => {
            say_once!(
                "epoll_ctl: files of the host and of the kernel in one epoll set are not supported (EPERM)"
            );
            EPERM
        }
        (empty, _) => {
            let r = c.to_host();
            if r == 0 && empty == EPOLL_EMPTY {
                fdtable::set(set, HOST);
            }
            r
        }
    }
}

/// Whether a kernel's descriptor is of a file or directory: no kernel takes one into an epoll set (fs/eventpoll.c), so
/// programs that try (Go's runtime, with everything it opens) count on it.
fn is_never_polled(number: usize) -> bool {
    let mut status = core::mem::MaybeUninit::<libc::stat>::zeroed();
    let r = section(|door| door.call(libc::SYS_fstat, &[number, status.as_mut_ptr() as usize, 0, 0, 0, 0]));
    // SAFETY: zeroes are a valid stat.
    let kind = unsafe { status.assume_init() }.st_mode & libc::S_IFMT;
    r == 0 && matches!(kind, libc::S_IFREG | libc::S_IFDIR)
}

/// An empty host set at `number` becomes an empty kernel set at the same number.
fn become_kernel_set(number: usize) -> Ret {
    let flags = host::call(libc::SYS_fcntl, &[number, libc::F_GETFD as usize]);
    let cloexec = flags > 0 && flags & libc::FD_CLOEXEC as isize != 0;
    section(|door| {
        // Made at a number of its own first: `number` is not free on the host.
        let made =
            open_same(door, cloexec, |door, want| door.call_at(libc::SYS_epoll_create1, &[0; 6], want));
        if made < 0 {
            return made;
        }
        let made = made as usize;
        let r = fdtable::placeholder_at(number, cloexec);
        let r = if r < 0 { r } else { door.call(libc::SYS_dup3, &[made, number, 0, 0, 0, 0]) };
        if r >= 0 {
            fdtable::set(number, KERNEL);
        }
        door.call(libc::SYS_close, &[made, 0, 0, 0, 0, 0]);
        fdtable::set(made, HOST);
        host::close(made as i32);
        r
    })
}

/// epoll_wait(2), epoll_pwait(2), epoll_pwait2(2)
pub fn epoll_wait(c: &Call<'_>) -> Ret {
    let masked = c.nr != libc::SYS_epoll_wait as usize;
    match fdtable::class(c.args[0]) {
        HOST | EPOLL_EMPTY if masked => actions::with_mask(&c.args, 4, |args| host::forward(c.nr, args)),
        HOST | EPOLL_EMPTY => c.to_host(),
        KERNEL if masked => {
            let mut args = c.args;
            args[4] = 0;
            actions::under_mask(c.args[4], || section(|door| door.call(c.nr as i64, &args)))
        }
        KERNEL => c.to_kernel(),
        other => fdtable::refuse(other),
    }
}
