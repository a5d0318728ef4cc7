// SPDX-License-Identifier: GPL-2.0-only
//! Waits in the kernel library under a signal mask of their own: ppoll(2), pselect(2), epoll_pwait(2).
//!
//! The mask is set inside the section. A signal that waits, and that the mask lets through, is noted there like one that
//! comes later (`signals::deliver`): it ends the wait, and its handler runs at the end of the section, under the mask of
//! the wait. If the wait ends by itself, no handler runs that the thread's own mask forbids (fs/select.c,
//! `restore_saved_sigmask_unless`).

use core::sync::atomic::Ordering;

use crate::instance::enter::{enter_kernel, is_interrupted, KernelContext};
use crate::sys::errno::Result;
use crate::sys::host::Args;
use crate::sys::sigcalls::{self, FAULTS};
use crate::sys::{thread, user};

/// EFAULT for a time that cannot be read: kernels look at the time before the mask.
pub fn check_time(address: usize) -> Result<()> {
    match address {
        0 => Ok(()),
        _ => user::read::<[i64; 2]>(address).map(drop),
    }
}

/// Makes the kernel's call under `mask`; None: under the mask that is set.
pub fn wait_in_kernel(nr: i64, args: &Args, mask: Option<u64>) -> Result {
    wait_under(mask, |context| context.call(nr, args))
}

/// Runs `wait` in a section, under `mask`; None: under the mask that is set.
pub fn wait_under(mask: Option<u64>, mut wait: impl FnMut(&mut KernelContext) -> Result) -> Result {
    let Some(mask) = mask else { return enter_kernel(wait) };
    let mut own = None;
    let r = enter_kernel(|context| {
        let before = sigcalls::set_mask(mask);
        // A section may run again: then the mask of the wait is still set.
        let own = *own.get_or_insert(before);
        let r = wait(context);
        if !is_interrupted(r) {
            put_back(own);
        }
        r
    });
    if let (Some(own), true) = (own, is_interrupted(r)) {
        sigcalls::set_mask(own);
    }
    r
}

/// Inside the section: sets the thread's own mask again, or has the end of the section set that mask, where a signal is
/// noted.
fn put_back(own: u64) {
    // No signal is to be noted between the look and the change.
    sigcalls::set_mask(!FAULTS);
    match thread::current() {
        Some(thread) if thread.noted.sig.load(Ordering::Acquire) != 0 => {
            thread.noted.mask.store(own, Ordering::Relaxed);
        }
        _ => {
            sigcalls::set_mask(own);
        }
    }
}
