// SPDX-License-Identifier: GPL-2.0-only
//! Fork and exit, and what a process hands to the next program.

pub mod fork;
pub mod handoff;
