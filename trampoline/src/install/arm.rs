// SPDX-License-Identifier: GPL-2.0-only
//! Arms threads with Syscall User Dispatch (`Documentation/admin-guide/syscall-user-dispatch.rst`).
//!
//! # Safety
//! prctl reads five integers, and keeps the address of a byte that lives as long as the process.
#![allow(unsafe_code)]

use crate::gate::{self, gate};
use crate::{alternate, thread};

/// `prctl` numbers (include/uapi/linux/prctl.h).
const PR_SET_SYSCALL_USER_DISPATCH: usize = 59;
const PR_SYS_DISPATCH_ON: usize = 1;

/// The selector is always BLOCK: the gate's address range is what lets our own calls through, so there
/// is nothing per thread to switch and one byte serves all.
static SELECTOR: u8 = 1;

/// The host kernel refuses Syscall User Dispatch (before 5.11, or built without it). Holds the errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported(pub i32);

/// Arms the calling thread, with a block if it has none. The kernel disarms a child of fork or clone
/// (kernel/fork.c), so each child calls this.
pub fn arm_thread() -> Result<(), Unsupported> {
    thread::adopt().map_err(Unsupported)?;
    let (start, len) = gate::range();
    let selector = &raw const SELECTOR as usize;
    let args = [PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, start, len, selector, 0];
    // SAFETY: five integers; the selector is a static.
    let got = unsafe { gate(libc::SYS_prctl, &args) };
    if got < 0 {
        return Err(Unsupported(-got as i32));
    }
    alternate::arm();
    Ok(())
}
