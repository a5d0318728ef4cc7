// SPDX-License-Identifier: GPL-2.0-only
//! rt_sigaction(2).

use core::ffi::c_int;

use trampoline::KernelSigaction;

use crate::signals::actions::{self, SIGNALS};
use crate::signals::cancel;
use crate::sys::call::Call;
use crate::sys::errno::{Errno, Result};
use crate::sys::sigcalls::bit;
use crate::sys::user;

/// Signals that cannot be caught.
const NEVER_CAUGHT: u64 = bit(libc::SIGKILL) | bit(libc::SIGSTOP);

/// rt_sigaction(2), as kernel/signal.c, do_sigaction.
pub fn sigaction(c: &Call<'_>) -> Result {
    let [sig, new, old, size, ..] = c.args;
    let sig = sig as c_int;
    if size != 8 || !(1..SIGNALS as c_int).contains(&sig) {
        return c.to_host();
    }
    let before = actions::shown(sig);
    if new != 0 {
        let mut action: KernelSigaction = user::read(new)?;
        action.mask &= !NEVER_CAUGHT;
        if bit(sig) & NEVER_CAUGHT != 0 {
            return Err(Errno::EINVAL);
        }
        if sig == cancel::SIGNAL && actions::is_function(action.handler) {
            cancel::handler_installed();
        }
        actions::set_action(sig, &action)?;
    }
    if old != 0 {
        user::write(old, &before)?;
    }
    Ok(0)
}
