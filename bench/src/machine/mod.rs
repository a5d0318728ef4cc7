// SPDX-License-Identifier: GPL-2.0-only
//! The machine that a run takes place on: its description, its CPUs, its mounts, and programs with a time limit.
//!
//! Floors, from the lowest: interrupt, timed, pin, environment, workdir.

pub mod environment;
pub mod interrupt;
pub mod pin;
pub mod timed;
pub mod workdir;
