// SPDX-License-Identifier: GPL-2.0-only
//! Fork, the end of threads and processes, and what a process hands to the next program.

pub mod alone;
pub mod clone;
pub mod door;
pub mod exit;
pub mod fork;
pub mod handoff;
pub mod handoff_text;
pub mod last_thread;
pub mod member;
pub mod own_memory;
pub mod share;
pub mod stores;
