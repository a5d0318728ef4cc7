// SPDX-License-Identifier: GPL-2.0-only
//! What is one process's own of an instance: the host operations that its kernel calls, the kernel's start and end,
//! and what a fork's child has to put right.

pub(crate) mod boot;
pub(crate) mod ops;
mod pressure;

pub(crate) use boot::become_member_in_child;
pub use boot::{attach, boot, reset_in_child, BootConfig, BootError, Handover, Kernel};
pub(crate) use ops::leave_alerts_to_others;
pub use pressure::watch_pressure_in;
