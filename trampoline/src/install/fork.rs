// SPDX-License-Identifier: GPL-2.0-only
//! The fork protocol of this crate: what is done before a process is copied, in the parent, and in the child.
//!
//! Before: signals are blocked, and nothing is being rewritten. A handler on this thread could come to a site that is to
//! be rewritten; a copy made amid a write would be torn. In the parent both are taken back. In the child, which has one
//! thread and is not armed (kernel/fork.c), the engine's lock is freed, the thread is armed, and the mask is set back.

use super::arm::arm_thread;
use super::signals::block_signals;
use crate::{host, rewrite};

/// A fork under way: from [`Fork::before`] to [`Fork::in_parent`] or [`Fork::in_child`]. To be made and ended on one
/// thread, on a stack that the child has a copy of.
#[must_use]
pub struct Fork {
    /// The signal mask of the thread that forks.
    mask: u64,
    rewriting: rewrite::Held,
}

impl Fork {
    /// Before the process is copied.
    pub fn before() -> Fork {
        let mask = block_signals();
        Fork { mask, rewriting: rewrite::hold() }
    }

    /// The signal mask that the child gets back.
    pub(super) fn mask(&self) -> u64 {
        self.mask
    }

    /// In the parent, or where no child was made.
    pub fn in_parent(self) {
        drop(self.rewriting);
        host::set_signal_mask(self.mask);
    }

    /// In the child, its only thread: `rest` is done before a signal can come.
    pub fn in_child(self, rest: impl FnOnce()) {
        core::mem::forget(self.rewriting);
        arm_child();
        rest();
        host::set_signal_mask(self.mask);
    }
}

/// In a child whose parent made it between [`Fork::before`] and [`Fork::in_parent`], with all signals blocked.
pub(super) fn arm_child() {
    rewrite::reset_in_child();
    // It worked in the parent.
    let _ = arm_thread();
}

/// Makes a child by `make`, a fork that returns twice on the same stack: result 0 in the child, which is armed. The child does
/// `in_child` before a signal can come: a handler, or the end by a signal, would take the parent's state for the child's.
pub fn fork(make: impl FnOnce() -> isize, in_child: impl FnOnce()) -> isize {
    let fork = Fork::before();
    let result = make();
    match result {
        0 => fork.in_child(in_child),
        _ => fork.in_parent(),
    }
    result
}
