// SPDX-License-Identifier: GPL-2.0-only
//! The host's side of an interrupt: something is done that the kernel waits for.

use std::mem::transmute;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `LKL_IRQ_BLOCK`: requests to block devices are completed.
pub(crate) const BLOCK: u32 = 1;

static ENTRY: AtomicUsize = AtomicUsize::new(0);

/// Before any device is there. `irq` is the kernel's `lkl_irq`.
pub(crate) fn hang(irq: usize) {
    ENTRY.store(irq, Ordering::Release);
}

/// Raises the interrupt. From any host thread that is not in kernel code; async-signal-safe. What is to
/// be seen by its handler is stored before. The kernel may run on the calling thread meanwhile: it needs a
/// stack for that (as the timer's).
pub(crate) fn ring(irq: u32) {
    let entry = ENTRY.load(Ordering::Acquire);
    if entry != 0 {
        // SAFETY: hang() stored the address of a function of this type.
        unsafe { transmute::<usize, unsafe extern "C" fn(i32)>(entry)(irq as i32) };
    }
}
