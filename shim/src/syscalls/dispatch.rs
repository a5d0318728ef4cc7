// SPDX-License-Identifier: GPL-2.0-only
//! The ONE dispatch: every call of the application, whichever way it came in, is answered here.
//! Kernel ABI in and out; errno is made in `hooks.rs` only.

use core::sync::atomic::{AtomicU64, Ordering};

use trampoline::routes::{set_routes, Route};
use trampoline::Frame;

use super::table::{self, Serve, NUMBERS};
use crate::calls::pages;
use crate::fdtable::{self, Owner, INOTIFY, KERNEL, WATCHES};
use crate::instance::{enter, maps};
use crate::observe;
use crate::sys::call::Call;
use crate::sys::errno::{to_raw, Errno};
use crate::sys::forward::to_host;
use crate::sys::host::{self, Args, Ret};
use crate::sys::report::{say, say_once};
use crate::sys::settings::settings;
use crate::sys::told;

/// Serves call `nr`. `frame`: the caller's registers, where the call came through the trampoline.
#[inline]
pub fn dispatch(nr: usize, args: &Args, frame: Option<&Frame>) -> Ret {
    // The host takes the number from the lower half of the register (arch/x86/entry/common.c, do_syscall_64).
    let nr = nr as u32 as usize;
    if observe::is_on() {
        return observe::observed(&Call { nr, args: *args, frame }, || serve(nr, args, frame));
    }
    serve(nr, args, frame)
}

#[inline]
fn serve(nr: usize, args: &Args, frame: Option<&Frame>) -> Ret {
    match maps::any() {
        true => pages::served(nr, args, |args| serve_once(nr, args, frame)),
        false => serve_once(nr, args, frame),
    }
}

#[inline]
fn serve_once(nr: usize, args: &Args, frame: Option<&Frame>) -> Ret {
    match table::serve(nr) {
        Serve::Host => to_host(nr, args),
        Serve::Fd(i) => by_fd(nr, args, i),
        Serve::HostFdOnly(i) if fdtable::class(args[i]) == KERNEL => not_supported(nr),
        Serve::OtherKind(i, errno) if fdtable::class(args[i]) == KERNEL => {
            to_raw(Err(enter::not_of_kind(args[i], errno)))
        }
        Serve::HostFdOnly(_) | Serve::OtherKind(..) => to_host(nr, args),
        Serve::Watched(serve) if matches!(fdtable::class(args[0]), INOTIFY | WATCHES) => {
            to_raw(serve(&Call { nr, args: *args, frame }))
        }
        Serve::Watched(_) => by_fd(nr, args, 0),
        Serve::Unknown => unknown(nr, args),
        Serve::Told(serve) if told::is_told() => to_raw(serve(&Call { nr, args: *args, frame })),
        Serve::Told(_) => to_host(nr, args),
        Serve::Kill(i, serve) if args[i] as i32 == libc::SIGKILL => {
            to_raw(serve(&Call { nr, args: *args, frame }))
        }
        Serve::Kill(..) => to_host(nr, args),
        Serve::Own(serve) => to_raw(serve(&Call { nr, args: *args, frame })),
    }
}

/// Lets the entry forward by itself what this dispatch would forward untouched.
pub fn shorten() {
    let route = |nr| match table::serve(nr) {
        Serve::Host => Route::Host,
        Serve::Told(_) if !told::is_told() => Route::Host,
        Serve::Fd(0) | Serve::OtherKind(0, _) | Serve::Watched(_) => Route::ByDescriptor,
        Serve::Kill(1, _) => Route::UnlessKillSecond,
        Serve::Kill(2, _) => Route::UnlessKillThird,
        _ => Route::Handler,
    };
    set_routes((0..NUMBERS).map(|nr| (nr, route(nr))), fdtable::classes());
}

#[inline]
fn by_fd(nr: usize, args: &Args, i: usize) -> Ret {
    match fdtable::owner(args[i]) {
        Ok(Owner::Host) => to_host(nr, args),
        Ok(Owner::Kernel) => enter::forward(nr, args),
        Err(e) => to_raw(Err(e)),
    }
}

/// Numbers that Linux may give to calls one day. Others are no calls on any host.
const MAY_COME: core::ops::Range<usize> = 424..1024;

/// Calls of the x32 ABI have this bit in their number, and other layouts (Documentation/arch/x86, __X32_SYSCALL_BIT).
const X32: usize = 0x4000_0000;

/// A call that is newer than the table, or of another ABI. Without mounts no path of it can be meant for one.
#[cold]
fn unknown(nr: usize, args: &Args) -> Ret {
    let is_x32 = nr & X32 != 0 && nr & !X32 < MAY_COME.end && host::knows_x32();
    if settings().mounts.is_empty() || !(is_x32 || MAY_COME.contains(&nr)) {
        return to_host(nr, args);
    }
    match is_x32 {
        true => {
            say_once!("system call {}: calls of x32 are not made while there are mounts (ENOSYS)", nr & !X32)
        }
        false => say_once!("system call {nr}: not known here, and not made while there are mounts (ENOSYS)"),
    }
    to_raw(Err(Errno::ENOSYS))
}

/// A call that only the host has, on a kernel file: said once for each call.
#[cold]
fn not_supported(nr: usize) -> Ret {
    static SAID: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(0) }; NUMBERS / 64];
    let said = SAID[nr / 64].fetch_or(1 << (nr % 64), Ordering::Relaxed) >> (nr % 64) & 1;
    if said == 0 {
        say!("{}: not supported on a file in a mount (ENOSYS)", observe::name(nr));
    }
    to_raw(Err(Errno::ENOSYS))
}
