// SPDX-License-Identifier: GPL-2.0-only
//! The system calls: one table, one dispatch, the hooks.

#[cfg(test)]
mod coverage;
pub mod dispatch;
pub mod hooks;
pub mod hosted;
pub mod table;
