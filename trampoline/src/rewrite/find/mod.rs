// SPDX-License-Identifier: GPL-2.0-only
//! What is there: from a mapping to its ELF module, the function around an address, and its instructions.
//!
//! All but [`maps`] and [`module`] are pure. Nothing here trusts what it reads.
//!
//! Floors, from the lowest: maps, view, module, extent, golang, unwind, decode, functions.

pub mod decode;
pub mod extent;
pub mod functions;
pub mod golang;
pub mod maps;
pub mod module;
pub mod unwind;
pub mod view;
