// SPDX-License-Identifier: GPL-2.0-only
//! The system calls of the application: one table, one dispatch, and the ways in.

#[cfg(test)]
mod compatibility;
pub mod dispatch;
pub mod entry;
mod guest;
mod hooks;
mod i386;
mod rows;
pub mod table;
