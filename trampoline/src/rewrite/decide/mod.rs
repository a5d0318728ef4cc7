// SPDX-License-Identifier: GPL-2.0-only
//! What is to be done about a site: a pure decision, bytes in, window out.
//!
//! Floors, from the lowest: tactic, scan.

pub mod scan;
pub mod tactic;
