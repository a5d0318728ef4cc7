// SPDX-License-Identifier: GPL-2.0-only
//! Fuzzing on a stable toolchain: a loop that changes real input and hands it to a target, until something breaks.
//!
//! The input of a case is a function of the seed of the run and of the number of the case alone. So a case that killed
//! its process can be made again from two numbers. A target runs in a process of its own ([`supervise`]): an abort, a
//! fault, a hang and an allocation past all reason are found as panics are.
//!
//! Floors, from the lowest: sys, mutate, target, search, limit, targets, supervise.

pub mod limit;
/// What the shim's files, which `targets::exec` compiles here, call `crate::sys`.
#[path = "../../../shim/src/sys"]
mod sys {
    #[allow(dead_code, missing_docs)]
    pub mod decimal;
}

mod mutate;
pub mod search;
pub mod supervise;
pub mod target;
pub mod targets;
