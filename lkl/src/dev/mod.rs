// SPDX-License-Identifier: GPL-2.0-only
//! Devices of the kernel, on the host's side: interrupts, and block devices.

pub(crate) mod block;
pub(crate) mod irq;
