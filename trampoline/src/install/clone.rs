// SPDX-License-Identifier: GPL-2.0-only
//! clone(2) onto a new stack: a thread, or a process with a stack of its own, armed before its first instruction; or a *guest*, a
//! process that shares this one's memory without being one of its threads. A guest is known by its block
//! ([`thread::is_guest`]): what the memory says of descriptors, signals and threads is not the guest's. Its sites are not
//! rewritten, because it may have stopped (ptrace(2)) whoever holds the lock for that.
//!
//! # Safety
//! The child's frame is on a stack of this crate that the child alone uses: on that of its new block, or in its copy of
//! the parent's memory. No signal handler runs in the child before it has its block.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::arm::arm_thread;
use super::fork::{arm_child, Fork};
use super::learn::before_thread;
use super::signals::block_signals;
use crate::frame::Frame;
use crate::{entry, gate, host, thread};

/// What is to be made.
#[derive(Debug, Clone, Copy)]
pub enum Cloned {
    /// A thread of this process.
    Thread,
    /// A process with a copy of the memory.
    Process {
        /// Runs before the clone, with all signals blocked.
        before: fn(),
        /// Runs in the parent after the clone, with its result and with all signals still blocked.
        in_parent: fn(isize),
    },
    /// A process that shares the memory.
    Guest,
}

/// Runs first in every thread (true) or process (false) cloned onto a new stack, armed, with all signals blocked.
pub type Child = extern "C" fn(bool);

static CHILD: AtomicUsize = AtomicUsize::new(0);

/// Sets what runs first in a child. To be called before any call is caught.
pub(super) fn set_child(child: Child) {
    CHILD.store(child as usize, Ordering::Release);
}

impl Frame {
    /// Carries out clone(2) (`nr` 56) or clone3(2) (435) for the caller with `args`, where `stack_top` is
    /// the child's new stack pointer. The parent gets the result; the child goes on behind the caller's own
    /// call, armed, with the caller's registers and 0 in rax. `what` must be what `args` say.
    ///
    /// # Safety
    /// The call's own conditions.
    pub unsafe fn clone_onto(&self, nr: i64, args: &[usize; 6], stack_top: usize, what: Cloned) -> isize {
        let mut own = self.clone();
        own.rax = 0;
        own.rsp = stack_top;
        own.rcx = self.rip;
        own.rip = self.resume();
        // SAFETY: the caller vouches for the call.
        unsafe {
            let is_guest = match what {
                Cloned::Process { before, in_parent } => {
                    return clone_process(nr, args, own, before, in_parent);
                }
                Cloned::Thread => false,
                Cloned::Guest => true,
            };
            before_thread(self.rip);
            clone_sharing(nr, args, own, is_guest)
        }
    }
}

/// A thread or a guest, whose frame is at the top of its own new stack.
///
/// # Safety
/// That of the call.
unsafe fn clone_sharing(nr: i64, args: &[usize; 6], mut child: Frame, is_guest: bool) -> isize {
    let block = match thread::allocate() {
        Ok(block) => block,
        Err(errno) => return -errno as isize,
    };
    let mask = block_signals();
    child.again = mask as usize;
    // SAFETY: the top of a fresh stack; the caller vouches for the call.
    let result = unsafe {
        let frame = block.cast::<Frame>().sub(1);
        frame.write(child);
        if is_guest {
            thread::set_guest(block);
        } else {
            (*block).inherited = thread::inherited();
        }
        gate::stowaway_gate_clone(nr, args.as_ptr(), frame.cast(), block.cast(), started)
    };
    host::set_signal_mask(mask);
    if result < 0 {
        thread::free(block);
    }
    result
}

/// A process, whose frame is in its copy of this stack.
///
/// # Safety
/// That of the call.
unsafe fn clone_process(
    nr: i64,
    args: &[usize; 6],
    mut child: Frame,
    before: fn(),
    in_parent: fn(isize),
) -> isize {
    let fork = Fork::before();
    before();
    child.again = fork.mask() as usize;
    // SAFETY: the frame is this function's; the caller vouches for the call.
    let result =
        unsafe { gate::stowaway_gate_clone(nr, args.as_ptr(), (&raw mut child).cast(), null_mut(), started) };
    in_parent(result);
    fork.in_parent();
    result
}

/// First code of the child, on its own stack of ours; the frame lies above.
unsafe extern "C" fn started(block: *mut c_void, frame: *mut c_void) -> ! {
    let (is_thread, frame) = (!block.is_null(), frame.cast::<Frame>());
    if is_thread {
        // It worked for the parent with the same arguments.
        let _ = arm_thread();
    } else {
        arm_child();
    }
    // SAFETY: set_child() stored a Child before any call was dispatched; the frame is `clone_onto`'s.
    unsafe {
        if !(is_thread && thread::is_guest()) {
            let child: Child = core::mem::transmute(CHILD.load(Ordering::Relaxed));
            child(is_thread);
        }
        host::set_signal_mask((*frame).again as u64);
        entry::stowaway_resume(frame)
    }
}
