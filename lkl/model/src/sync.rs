// SPDX-License-Identifier: GPL-2.0-only
//! In the place of lkl/src/cpu/sync.rs: loom's atomics, and steps that can be left out.

pub(crate) use loom::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::atomic::AtomicU8;

/// See lkl/src/cpu/sync.rs.
#[allow(missing_docs)] // there
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    LookAfterFree = 1,
    LookAfterPoll,
    LookForInterrupt,
    LookAtDeadline,
    EnsureDeadlineOwner,
    LookForDeath,
    TakeWord,
    /// No full barriers at all.
    Barrier,
}

/// Members at most in a scene.
pub(crate) const MEMBERS: usize = 4;

/// What is left out; 0: nothing.
static LEFT_OUT: AtomicU8 = AtomicU8::new(0);

pub(crate) fn leave_out(step: Option<Step>) {
    LEFT_OUT.store(step.map_or(0, |step| step as u8), Ordering::SeqCst);
}

pub(crate) fn taken(step: Step) -> bool {
    LEFT_OUT.load(Ordering::SeqCst) != step as u8
}

/// loom's `SeqCst` is no more than acquire and release but for fences; x86-64's read-modify-writes are fences.
pub(crate) fn barrier() {
    if taken(Step::Barrier) {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}
