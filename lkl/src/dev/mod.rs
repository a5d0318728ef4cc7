// SPDX-License-Identifier: GPL-2.0-only
//! Devices of the kernel, on the host's side: interrupts, block devices, and the bells of waits.

pub(crate) mod bells;
pub(crate) mod block;
pub(crate) mod irq;
