// SPDX-License-Identifier: GPL-2.0-only
//! The signal mask as the application sees it.
//!
//! SIGSYS, SIGSEGV and SIGBUS are never blocked on the host: the library lives from them. That the application blocked
//! them is kept here and shown when the application asks. A SIGSYS that somebody sends meanwhile waits.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

use trampoline::KernelSigaction;

use crate::signals::claimed::never_blocked;
use crate::sys::call::Call;
use crate::sys::errno::{Errno, Result};
use crate::sys::host::Args;
use crate::sys::sigcalls::{self, bit, SET_BYTES};
use crate::sys::{thread, user};

const SIGSYS: u64 = bit(libc::SIGSYS);

/// Of the calling thread: which of [`never_blocked`] the application blocked.
fn hidden() -> u64 {
    thread::words().hidden_mask.load(Ordering::Relaxed)
}

fn set_hidden(set: u64) {
    thread::words().hidden_mask.store(set, Ordering::Relaxed);
}

/// A SIGSYS that was sent while it was blocked; one is kept, as for any signal of its kind.
static WAITS: AtomicBool = AtomicBool::new(false);

/// rt_sigprocmask(2): as asked, but what must not be blocked is not.
pub fn sigprocmask(c: &Call<'_>) -> Result {
    let [how, set, old, size, ..] = c.args;
    if size != SET_BYTES {
        return c.to_host();
    }
    let asked = if set == 0 { 0 } else { user::read::<u64>(set)? };
    let cleaned = if how as c_int == libc::SIG_UNBLOCK { asked } else { asked & !never_blocked() };
    let mut own = c.args;
    if set != 0 {
        own[1] = &raw const cleaned as usize;
    }
    let r = c.to_host_with(&own)?;
    let before = hidden();
    if set != 0 {
        set_hidden(match how as c_int {
            libc::SIG_BLOCK => before | asked & never_blocked(),
            libc::SIG_UNBLOCK => before & !asked,
            _ => asked & never_blocked(),
        });
    }
    if old != 0 && before != 0 {
        add_to_set(old, before)?;
    }
    if before & !hidden() & SIGSYS != 0 && WAITS.swap(false, Ordering::AcqRel) {
        sigcalls::send_to_process(libc::SIGSYS);
    }
    Ok(r)
}

/// Adds signals to the application's set at an address.
fn add_to_set(address: usize, signals: u64) -> Result<()> {
    let set: u64 = user::read(address)?;
    user::write(address, &(set | signals))
}

/// rt_sigpending(2): with the SIGSYS that waits here.
pub fn sigpending(c: &Call<'_>) -> Result {
    let r = c.to_host()?;
    if WAITS.load(Ordering::Acquire) {
        add_to_set(c.args[0], SIGSYS)?;
    }
    Ok(r)
}

/// A SIGSYS was sent to us. True: the application blocked it.
pub fn keeps_waiting() -> bool {
    let waits = hidden() & SIGSYS != 0;
    if waits {
        WAITS.store(true, Ordering::Release);
    }
    waits
}

/// What is blocked on the host while the handler of `action` for `sig` runs, on top of a thread with the mask `before`.
pub fn of_handler(sig: c_int, action: &KernelSigaction, before: u64) -> u64 {
    let own = if action.flags & libc::SA_NODEFER as usize == 0 { bit(sig) } else { 0 };
    (before | action.mask | own) & !never_blocked()
}

/// Before a handler of the application that has `mask`: what it sees in `shown`, its context's mask.
pub fn handler_begins(mask: u64, shown: &mut u64) {
    let before = hidden();
    *shown |= before;
    set_hidden(before | mask & never_blocked());
}

/// After the handler returned, with `shown` as the handler left it: that is the mask to go on with.
pub fn handler_ends(shown: &mut u64) {
    set_hidden(*shown & never_blocked());
    *shown &= !never_blocked();
}

/// The mask of a wait at the application's address, without what may not be blocked. None: there is none. As kernel/signal.c
/// has it (`set_user_sigmask`).
pub fn asked(address: usize, size: usize) -> Result<Option<u64>> {
    match (address, size) {
        (0, _) => Ok(None),
        (_, SET_BYTES) => user::read::<u64>(address).map(|mask| Some(mask & !never_blocked())),
        _ => Err(Errno::EINVAL),
    }
}

/// Makes a host call whose argument `at` points at a signal mask, and whose next argument is the size of that mask, with a
/// cleaned copy of the mask.
pub fn with_mask(args: &Args, at: usize, call: impl FnOnce(&Args) -> Result) -> Result {
    let Some(mask) = asked(args[at], args[at + 1])? else { return call(args) };
    let mut own = *args;
    own[at] = &raw const mask as usize;
    call(&own)
}
