// SPDX-License-Identifier: GPL-2.0-only
//! Syscall User Dispatch as the application uses it itself (`Documentation/admin-guide/syscall-user-dispatch.rst`):
//! carried out here, as the host's serves us. A call that its selector stops goes to its handler of SIGSYS.
//!
//! Calls through libc's names are not looked at: they come from no `syscall` instruction.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering};

use trampoline::{routes, Frame};

use crate::signals::actions;
use crate::sys::errno::EINVAL;
use crate::sys::host::{Args, Ret};
use crate::sys::{thread, user};

const OFF: usize = 0;
const ON: usize = 1;
/// Values of the selector (include/uapi/linux/prctl.h).
const ALLOW: u8 = 0;
const BLOCK: u8 = 1;

/// Some thread did: calls are looked at.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// The calling thread's: on, start and length of what is allowed, address of the selector (0: none).
fn state() -> &'static mut [usize; 4] {
    // SAFETY: words 3 to 6 of the thread's own; the reference does not leave its thread.
    unsafe { &mut *thread::words().cast::<usize>().add(3).cast() }
}

/// prctl(PR_SET_SYSCALL_USER_DISPATCH, ...), as kernel/entry/syscall_user_dispatch.c checks it.
pub fn set(args: &Args) -> Ret {
    let [_, mode, start, len, selector, _] = *args;
    match mode {
        OFF if start | len | selector != 0 => return EINVAL,
        OFF => {}
        ON if start != 0 && start.wrapping_add(len) <= start => return EINVAL,
        ON => {
            IN_USE.store(true, Ordering::Relaxed);
            routes::all_to_handler();
        }
        _ => return EINVAL,
    }
    *state() = [mode, start, len, selector];
    0
}

/// In a child of fork: the host does not hand it on either.
pub fn after_fork() {
    if IN_USE.load(Ordering::Relaxed) {
        *state() = [OFF; 4];
    }
}

/// Whether the application stops this call; then it is not made.
#[inline]
pub fn stops(frame: &mut Frame) -> bool {
    IN_USE.load(Ordering::Relaxed) && is_stopped(frame)
}

#[cold]
fn is_stopped(frame: &mut Frame) -> bool {
    let [mode, start, len, selector] = *state();
    if mode == OFF || frame.rip.wrapping_sub(start) < len {
        return false;
    }
    let value = if selector == 0 { Ok(BLOCK) } else { user::read::<u8>(selector) };
    match value {
        Ok(ALLOW) => false,
        Ok(BLOCK) => {
            frame.dispatch_again();
            true
        }
        Ok(_) => actions::force(libc::SIGSYS),
        Err(_) => actions::force(libc::SIGSEGV),
    }
}
