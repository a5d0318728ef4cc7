// SPDX-License-Identifier: GPL-2.0-only
//! What a host thread needs to call the kernel: a task of the kernel's, with a kernel stack.

use crate::attach::Kernel;
use crate::cpu::{self, CallSlot};
use crate::sys::Errno;
use std::ptr::NonNull;

/// What one host thread needs to call the kernel: its call slot, which lies in the kernel's memory.
#[repr(transparent)]
pub struct Task(CallSlot);

impl Task {
    /// A task for the calling thread, or for one that is about to start: it may be made by any
    /// thread, and is then used by one.  Free it with [`Kernel::release`].
    pub fn new(kernel: &Kernel) -> Result<NonNull<Task>, Errno> {
        let slot = cpu::thread_new(kernel.words)?;
        NonNull::new(slot.cast()).ok_or(Errno::ENOMEM)
    }

    pub(crate) fn slot(task: *mut Task) -> *mut CallSlot {
        task.cast()
    }
}
