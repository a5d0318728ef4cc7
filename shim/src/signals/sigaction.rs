// SPDX-License-Identifier: GPL-2.0-only
//! rt_sigaction(2).

use core::ffi::c_int;

use trampoline::KernelSigaction;

use crate::signals::actions::{self, SIGNALS};
use crate::signals::cancel;
use crate::sys::call::Call;
use crate::sys::errno::{Errno, Result};
use crate::sys::host;
use crate::sys::sigcalls::bit;
use crate::sys::user;

/// Signals that cannot be caught.
const NEVER_CAUGHT: u64 = bit(libc::SIGKILL) | bit(libc::SIGSTOP);

/// Linux 5.11 and later clear other flags, so that a program can see which are known (sigaction(2), SA_UNSUPPORTED).
const CLEARS_UNKNOWN_FLAGS: (u32, u32) = (5, 11);
/// include/linux/signal_types.h, UAPI_SA_FLAGS
const KNOWN_FLAGS: usize = {
    const SA_EXPOSE_TAGBITS: usize = 0x800;
    const SA_RESTORER: usize = 0x0400_0000;
    let of_libc = libc::SA_NOCLDSTOP
        | libc::SA_NOCLDWAIT
        | libc::SA_SIGINFO
        | libc::SA_ONSTACK
        | libc::SA_RESTART
        | libc::SA_NODEFER
        | libc::SA_RESETHAND;
    of_libc as u32 as usize | SA_EXPOSE_TAGBITS | SA_RESTORER
};

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
        if host::version() >= CLEARS_UNKNOWN_FLAGS {
            action.flags &= KNOWN_FLAGS;
        }
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
