// SPDX-License-Identifier: GPL-2.0-only
//! Signals that end the process.
#![allow(unsafe_code)]

use core::ffi::c_int;

use once_cell::sync::OnceCell;
use trampoline::KernelSigaction;

use crate::sys::host;
use crate::sys::report::{self, say};
use crate::sys::sigcalls::{self, bit};

/// What has to happen before the process ends: the images are unmounted.
static BEFORE_END: OnceCell<fn()> = OnceCell::new();

/// Says what has to happen before a signal ends the process. Called by the constructor.
pub fn before_end(work: fn()) {
    let _ = BEFORE_END.set(work);
}

/// A signal whose default action ends the process: unmount, then let the signal end the process. `info`: the address of
/// its siginfo, or 0.
pub fn die_of(sig: c_int, info: usize) -> ! {
    if let Some(work) = BEFORE_END.get() {
        work();
    }
    reset_to_default(sig);
    match info {
        0 => sigcalls::raise(sig),
        info => sigcalls::queue_to_thread(host::ids().1, sig, info),
    }
    sigcalls::unblock(bit(sig));
    // Not reached for a fatal signal; a debugger may swallow the signal.
    host::exit_group(128 + sig as usize)
}

/// Ends a guest by a signal: nothing is the guest's to unmount.
pub fn die_alone(sig: c_int) -> ! {
    reset_to_default(sig);
    sigcalls::raise(sig);
    sigcalls::unblock(bit(sig));
    host::exit_group(128 + sig as usize)
}

/// Ends the process by a signal that no handler gets, as the host does for misuse.
pub fn force(sig: c_int) -> ! {
    die_of(sig, 0)
}

/// A fault in our own code while the kernel is in use: a bug of ours, and the kernel may be half through something.
/// Nothing may be written to the images any more; their journals hold.
pub fn die_of_our_fault(kernel: &lkl::Kernel, sig: c_int, uc: &libc::ucontext_t) -> ! {
    let register = |which: c_int| uc.uc_mcontext.gregs[which as usize] as usize;
    let (ip, sp) = (register(libc::REG_RIP), register(libc::REG_RSP));
    say!(
        "the library crashed (signal {sig} at {ip:#x}, stack {sp:#x}); the kernel's log follows; the images \
          are as after a power cut"
    );
    kernel.dump_log(report::stderr_fd());
    reset_to_default(libc::SIGABRT);
    sigcalls::raise(libc::SIGABRT);
    host::exit_group(134)
}

/// Puts the host's default action in place, for a signal that is to end the process.
fn reset_to_default(sig: c_int) {
    // SAFETY: the default action runs no code of ours.
    if unsafe { sigcalls::set_action(sig, &KernelSigaction::default()) }.is_err() {
        say!("signal {sig}: cannot restore its default action");
    }
}
