// SPDX-License-Identifier: GPL-2.0-only
//! The ONE dispatch: every call of the application, whichever door it came through, is answered here.
//! Kernel ABI in and out; errno is made in `hooks.rs` only.

use trampoline::routes::{set_routes, Route};
use trampoline::Frame;

use crate::calls::Call;
use crate::fdtable::{self, EPOLL_EMPTY, HOST, KERNEL};
use crate::instance::enter;
use crate::observe;
use crate::sys::errno::ENOSYS;
use crate::sys::host::{self, Args, Ret};
use crate::sys::report::say;
use crate::syscalls::table::{self, Serve};

/// Serves call `nr`. `frame`: the caller's registers, where it came through the trampoline.
#[inline]
pub fn dispatch(nr: usize, args: &Args, frame: Option<&Frame>) -> Ret {
    if observe::is_on() {
        return observe::watch(nr, args, frame);
    }
    serve(nr, args, frame)
}

/// The same, unseen.
#[inline]
pub fn serve(nr: usize, args: &Args, frame: Option<&Frame>) -> Ret {
    match table::serve(nr) {
        Serve::Host => host::forward(nr, args),
        Serve::Fd(i) => by_fd(nr, args, i),
        Serve::HostFdOnly(i) if fdtable::class(args[i]) == KERNEL => {
            say!("{}: not supported on a file in a mount (ENOSYS)", table::name(nr));
            ENOSYS
        }
        Serve::HostFdOnly(_) => host::forward(nr, args),
        Serve::Own(serve) => serve(&Call { nr, args: *args, frame }),
    }
}

/// Lets the entry forward by itself what this dispatch would forward untouched.
pub fn shorten() {
    let route = |nr| match table::serve(nr) {
        Serve::Host => Route::Host,
        Serve::Fd(0) => Route::ByDescriptor,
        _ => Route::Handler,
    };
    set_routes((0..table::NUMBERS).map(|nr| (nr, route(nr))), fdtable::classes());
}

#[inline]
fn by_fd(nr: usize, args: &Args, i: usize) -> Ret {
    match fdtable::class(args[i]) {
        HOST | EPOLL_EMPTY => host::forward(nr, args),
        KERNEL => enter::forward(nr, args),
        other => fdtable::refuse(other),
    }
}
