// SPDX-License-Identifier: GPL-2.0-only
//! The atomics of the protocol. The model (lkl/model) puts loom's in their place, and compiles the same protocol.

pub(crate) use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// `LKL_MEMBERS`: how many processes may use an instance at the same time.
pub(crate) const MEMBERS: usize = 512;

/// Steps that the model (lkl/model) leaves out one by one, to see that it notices. Here all are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look at `pending` once more after the CPU was freed.
    LookAfterFree,
    /// Look at `pending` once more after polling ended.
    LookAfterPoll,
    /// Look for an interruption once more after the thread was marked asleep.
    LookForInterrupt,
    /// Look at the deadline once more after the timer thread was marked asleep.
    LookAtDeadline,
    /// See that somebody looks after the deadline before the thread goes out.
    EnsureDeadlineOwner,
    /// Look whether the holder of the CPU lives.
    LookForDeath,
    /// Write this member into the CPU's word before it is said that the handed CPU was taken.
    TakeWord,
}

/// Whether the step is taken.
#[inline(always)]
pub(crate) const fn taken(_: Step) -> bool {
    true
}

/// Between a write of ours and a look at what others write: a full barrier, as the read-modify-writes with `SeqCst` before
/// it are on x86-64. (The model's atomics have no total order of `SeqCst`, so a fence stands here there.)
#[inline(always)]
pub(crate) fn barrier() {
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}
