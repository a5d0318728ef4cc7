// SPDX-License-Identifier: GPL-2.0-only
//! sigaltstack(2): the host has a signal stack of ours (`trampoline::alternate`).
#![allow(unsafe_code)]

use trampoline::alternate::{self, AlternateStack};

use crate::sys::call::Call;
use crate::sys::errno::{Errno, Result};
use crate::sys::user;

/// sigaltstack(2), as kernel/signal.c has it (do_sigaltstack).
pub fn sigaltstack(c: &Call<'_>) -> Result {
    let Some(sp) = c.frame.map(|frame| frame.rsp) else { return c.to_host() };
    let Some(shown) = alternate::shown(sp) else { return c.to_host() };
    let [new, old, ..] = c.args;
    if new != 0 {
        let [start, flags, len]: [usize; 3] = user::read(new)?;
        let new = AlternateStack { start, flags: flags as i32, _pad: 0, len };
        // SAFETY: the application's own call.
        unsafe { alternate::set(&new, sp) }.map_err(Errno::new)?;
    }
    if old != 0 {
        user::write(old, &[shown.start, shown.flags as u32 as usize, shown.len])?;
    }
    Ok(0)
}
