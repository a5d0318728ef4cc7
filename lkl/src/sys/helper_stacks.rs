// SPDX-License-Identifier: GPL-2.0-only
//! Where the stacks of helper threads are: so a thread knows without a call of the host whether it is one.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a stack, on which the kernel's interrupt handlers and soft interrupts run too.
pub(super) const STACK_BYTES: usize = 128 << 10;

/// More places than there are ever threads.
pub(super) const PLACES: usize = 64;

/// The upper ends of the stacks, each in its thread's place; 0: none.
static TOPS: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];

/// The thread in this place has a stack with this upper end; 0: there is no thread any more.
pub(super) fn set_top(place: usize, top: usize) {
    TOPS[place].store(top, Ordering::Relaxed);
}

/// Whether the calling thread is on the stack of a helper thread. (A helper thread in kernel code is on a stack of the kernel's.)
pub(super) fn is_on_one() -> bool {
    let here = 0u8;
    let here = &raw const here as usize;
    let is_around =
        |top: &AtomicUsize| (1..STACK_BYTES).contains(&top.load(Ordering::Relaxed).wrapping_sub(here));
    TOPS.iter().any(is_around)
}
