// SPDX-License-Identifier: GPL-2.0-only
//! The parts of Stowaway's test suite: fixtures that exist twice (a host directory and an ext4 image with the same
//! content), cases read from data, a runner for commands with a deadline, and a reader of ext4 images that shares no
//! code with any kernel. The tests themselves are in `tests/`, the cases in `cases/`, small C programs in `programs/`.

pub mod artifacts;
pub mod case;
pub mod ext4;
pub mod fixture;
pub mod mounted;
pub mod normal;
pub mod process;
pub mod program;
pub mod suite;
pub mod tree;
pub mod user;
pub mod words;
