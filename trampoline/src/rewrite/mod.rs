// SPDX-License-Identifier: GPL-2.0-only
//! Sites rewritten.

pub mod decode;
pub mod functions;
pub mod golang;
pub mod scan;
pub mod tactic;
pub mod unwind;
pub mod view;
