// SPDX-License-Identifier: GPL-2.0-only
//! What a host thread needs to call the kernel: its carrier and a stack, in one mapping.

use crate::sys::{map_stack, unmap, PAGE};
use crate::{Errno, Kernel};
use std::ptr::NonNull;

/// Deep enough for file systems that write back through an inline block device.
const STACK_BYTES: usize = 64 << 10;
const CARRIER_BYTES: usize = 128;

/// `struct lkl_carrier`, known to the overlay only.
#[repr(C, align(64))]
pub(crate) struct Carrier([u8; CARRIER_BYTES]);

/// One host thread's side of the door.  The kernel task behind it is made at the first call.
///
/// ```text
/// base: guard page | stack ... | Task     (one mapping; the stack's top is the Task)
/// ```
#[repr(C)]
pub struct Task {
    carrier: Carrier,
    base: usize,
}

impl Task {
    /// A task for the calling thread, or for one that is about to start: it may be made by any
    /// thread, and is then used by one.  Free it with [`Kernel::release`].
    pub fn new(_kernel: &Kernel) -> Result<NonNull<Task>, Errno> {
        Task::map()
    }

    pub(crate) fn map() -> Result<NonNull<Task>, Errno> {
        let (base, top) = map_stack(STACK_BYTES)?;
        let at = (top - size_of::<Task>()) & !63;
        let task = NonNull::new(at as *mut Task).ok_or(Errno(libc::ENOMEM))?;
        // SAFETY: fresh zeroed memory (a valid carrier) of ours, big enough and aligned.
        unsafe { (*task.as_ptr()).base = base };
        Ok(task)
    }

    pub(crate) fn carrier(task: *mut Task) -> usize {
        task as usize
    }

    /// The stack ends where the Task begins (64-aligned).
    pub(crate) fn stack_top(task: *mut Task) -> usize {
        task as usize
    }

    /// # Safety
    /// `task` is from [`Task::map`], and neither the kernel nor the running code uses it or its
    /// stack any more.
    pub(crate) unsafe fn unmap(task: *mut Task) {
        // SAFETY: the caller's promise.
        let base = unsafe { (*task).base };
        unmap(base, STACK_BYTES + PAGE);
    }
}
