// SPDX-License-Identifier: GPL-2.0-only
//! Kicks: how a thread that runs the program's code is asked to come into the kernel.

pub mod doorbell;
pub mod uintr;
