// SPDX-License-Identifier: GPL-2.0-only
//! The host's side of an interrupt: something is done that the kernel waits for.

use crate::cpu;

/// `LKL_IRQ_BLOCK`: requests to block devices are completed.
pub(crate) const BLOCK: u32 = 1;

/// `LKL_IRQ_NET`: a back end of a network interface has a frame, or room for one.
pub(crate) const NET: u32 = 2;

/// Raises the interrupt. From any host thread that is not in kernel code, and not from a signal handler: the
/// kernel may run on the calling thread meanwhile. What is to be seen by its handler is stored before.
pub(crate) fn raise_irq(irq: u32) {
    cpu::raise_irq(1 << irq);
}
