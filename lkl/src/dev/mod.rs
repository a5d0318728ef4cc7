// SPDX-License-Identifier: GPL-2.0-only
//! Devices of the kernel, on the host's side: interrupts, block devices, network interfaces, the bells of waits, and the tickets of
//! passed files.

pub(crate) mod bells;
pub(crate) mod block;
pub(crate) mod irq;
pub(crate) mod net;
pub(crate) mod tickets;
