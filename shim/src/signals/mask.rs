// SPDX-License-Identifier: GPL-2.0-only
//! The signal mask as the application sees it.
//!
//! SIGSYS, SIGSEGV and SIGBUS are never blocked on the host: they carry what we live from. That the application
//! blocked them is kept here, shown when it asks, and holds for a SIGSYS that somebody sends: it waits.
#![allow(unsafe_code)]

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::signals::actions::never_blocked;
use crate::sys::host::{self, Args, Ret};
use crate::sys::{thread, user};

const SIGSYS: u64 = 1 << (libc::SIGSYS - 1);

/// Of the calling thread: which of [`never_blocked`] the application blocked.
fn hidden() -> &'static mut u64 {
    // SAFETY: word 2 of the thread's own; the reference does not leave its thread.
    unsafe { &mut *thread::words().cast::<u64>().add(2) }
}

/// A SIGSYS that was sent while it was blocked; one is kept, as for any signal of its kind.
static WAITS: AtomicBool = AtomicBool::new(false);

/// rt_sigprocmask(2): as asked, but what must not be blocked is not.
pub fn sigprocmask(nr: usize, args: &Args) -> Ret {
    let [how, set, old, size, ..] = *args;
    if size != 8 {
        return host::forward(nr, args);
    }
    let asked = match set {
        0 => 0,
        set => match user::read::<u64>(set) {
            Ok(asked) => asked,
            Err(e) => return e,
        },
    };
    let cleaned = if how as c_int == libc::SIG_UNBLOCK { asked } else { asked & !never_blocked() };
    let mut own = *args;
    if set != 0 {
        own[1] = &raw const cleaned as usize;
    }
    let r = host::forward(nr, &own);
    if r < 0 {
        return r;
    }
    let before = *hidden();
    if set != 0 {
        *hidden() = match how as c_int {
            libc::SIG_BLOCK => before | asked & never_blocked(),
            libc::SIG_UNBLOCK => before & !asked,
            _ => asked & never_blocked(),
        };
    }
    if old != 0 && before != 0 {
        let shown = user::read::<u64>(old).and_then(|mask| user::write(old, &(mask | before)));
        if let Err(e) = shown {
            return e;
        }
    }
    if before & !*hidden() & SIGSYS != 0 && WAITS.swap(false, Ordering::AcqRel) {
        let pid = host::ids().0;
        host::call(libc::SYS_kill, &[pid, libc::SIGSYS as usize]);
    }
    r
}

/// rt_sigpending(2): with the SIGSYS that waits here.
pub fn sigpending(nr: usize, args: &Args) -> Ret {
    let r = host::forward(nr, args);
    if r < 0 || !WAITS.load(Ordering::Acquire) {
        return r;
    }
    let shown = user::read::<u64>(args[0]).and_then(|set| user::write(args[0], &(set | SIGSYS)));
    shown.map_or_else(|e| e, |()| r)
}

/// A SIGSYS was sent to us. True: the application blocked it.
pub fn keeps_waiting() -> bool {
    let waits = *hidden() & SIGSYS != 0;
    if waits {
        WAITS.store(true, Ordering::Release);
    }
    waits
}

/// Before a handler of the application that has `mask`: what it sees in `shown`, its context's mask. The result is
/// for [`handler_ends`].
pub fn handler_begins(mask: u64, shown: &mut u64) -> u64 {
    let before = *hidden();
    if before != 0 {
        *shown |= before;
    }
    *hidden() |= mask & never_blocked();
    before
}

/// After it returned, with `shown` as it left it: that is the mask to go on with.
pub fn handler_ends(shown: &mut u64) {
    *hidden() = *shown & never_blocked();
    *shown &= !never_blocked();
}
