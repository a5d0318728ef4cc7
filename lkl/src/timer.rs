// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's clock event: one host thread that sleeps until the deadline, if no other does.
//!
//! It is made by a bare `clone`: no TLS of its own (it shares its maker's and uses none), all
//! signals blocked, a stack of ours.  It lives as long as the process.

use crate::cpu;
use crate::sys::{host, map_stack, raw};
use crate::Errno;

/// It only changes to the kernel's stacks.
const STACK_BYTES: usize = 32 << 10;

/// Starts the thread.
pub(crate) fn start() -> Result<(), Errno> {
    let (_, top) = map_stack(STACK_BYTES)?;
    // `raw` returns in the child to the address at the top of the new stack; behind it the stack
    // must be as at the entry of a function: 8 modulo 16
    let slot = top - 16;
    // SAFETY: fresh memory of ours.
    unsafe { *(slot as *mut usize) = run as extern "C" fn() -> ! as usize };
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    let was = block_signals(&[u64::MAX]);
    // SAFETY: the child gets its own stack and starts in run().
    let tid = unsafe { raw()(libc::SYS_clone, flags as usize, slot, 0, 0, 0, 0) };
    block_signals(&was);
    Errno::check(tid).map(drop)
}

/// Sets the thread's signal mask, returns the old one.
fn block_signals(mask: &[u64; 1]) -> [u64; 1] {
    let mut old = [0u64; 1];
    let args = [libc::SIG_SETMASK as usize, mask.as_ptr() as usize, old.as_mut_ptr() as usize, 8, 0, 0];
    host(libc::SYS_rt_sigprocmask, args);
    old
}

/// The thread.
extern "C" fn run() -> ! {
    let name = c"stowaway-timer";
    host(libc::SYS_prctl, [libc::PR_SET_NAME as usize, name.as_ptr() as usize, 0, 0, 0, 0]);
    // The host may be 50 us late otherwise.
    host(libc::SYS_prctl, [libc::PR_SET_TIMERSLACK as usize, 1, 0, 0, 0, 0]);
    loop {
        cpu::tick();
    }
}
