// SPDX-License-Identifier: GPL-2.0-only
//! Syscall User Dispatch as the application uses it itself (`Documentation/admin-guide/syscall-user-dispatch.rst`):
//! carried out here, because the host's serves us. A call that the application's selector stops goes to the
//! application's handler of SIGSYS.
//!
//! Calls through libc's names are not looked at: they come from no `syscall` instruction.

use core::sync::atomic::{AtomicBool, Ordering};

use trampoline::{routes, Frame};

use crate::signals::end;
use crate::sys::errno::{Errno, Result};
use crate::sys::host::Args;
use crate::sys::{thread, user};

const OFF: usize = 0;
const ON: usize = 1;
/// Values of the selector (include/uapi/linux/prctl.h).
const ALLOW: u8 = 0;
const BLOCK: u8 = 1;

/// Some thread of the application uses it: calls are looked at.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// The calling thread's: on, start and length of what is allowed, address of the selector (0: none).
fn state() -> [usize; 4] {
    thread::words().app_sud.each_ref().map(|word| word.load(Ordering::Relaxed))
}

fn set_state(state: [usize; 4]) {
    for (word, value) in thread::words().app_sud.iter().zip(state) {
        word.store(value, Ordering::Relaxed);
    }
}

/// prctl(PR_SET_SYSCALL_USER_DISPATCH, ...), as kernel/entry/syscall_user_dispatch.c checks it.
pub fn set(args: &Args) -> Result {
    let [_, mode, start, len, selector, _] = *args;
    match mode {
        OFF if start | len | selector != 0 => return Err(Errno::EINVAL),
        OFF => {}
        ON if start != 0 && start.wrapping_add(len) <= start => return Err(Errno::EINVAL),
        ON => {
            IN_USE.store(true, Ordering::Relaxed);
            routes::all_to_handler();
        }
        _ => return Err(Errno::EINVAL),
    }
    set_state([mode, start, len, selector]);
    Ok(0)
}

/// In a child of fork, which does not inherit it from the host either.
pub fn reset_in_child() {
    if IN_USE.load(Ordering::Relaxed) {
        set_state([OFF; 4]);
    }
}

/// Whether the application stops this call; then the call is not made.
#[inline]
pub fn stops(frame: &mut Frame) -> bool {
    IN_USE.load(Ordering::Relaxed) && is_stopped(frame)
}

#[cold]
fn is_stopped(frame: &mut Frame) -> bool {
    let [mode, start, len, selector] = state();
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
        Ok(_) => end::force(libc::SIGSYS),
        Err(_) => end::force(libc::SIGSEGV),
    }
}
