// SPDX-License-Identifier: GPL-2.0-only
//! The sides: the directories and images that rows work on, and how a program comes to them.
//!
//! Floors, from the lowest: fixture, libraries, describe, place, held, guests.

pub mod describe;
pub mod fixture;
mod guests;
pub mod held;
pub mod libraries;
pub mod place;
