// SPDX-License-Identifier: GPL-2.0-only
//! What a decision becomes: the stub and its unwinding table (pure), the memory for it, and the writing.
//!
//! Floors, from the lowest: emit, cfi, live, batch, region.

pub mod batch;
pub mod cfi;
pub mod emit;
pub mod live;
pub mod region;
