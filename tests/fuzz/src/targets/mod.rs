// SPDX-License-Identifier: GPL-2.0-only
//! The targets: everything that reads what others wrote.

use crate::target::Target;

mod elf;
mod exec;
mod frames;
mod nbd;
mod partition;
mod planted;
mod qcow2;
mod settings;
mod switch;
mod tunnel;

/// In the order in which they run.
pub const ALL: [&Target; 15] = [
    &elf::SCAN,
    &elf::DECIDE,
    &partition::TABLE,
    &nbd::HANDSHAKE,
    &nbd::SERVER,
    &nbd::URI,
    &frames::FRAMES,
    &switch::FRAMES,
    &qcow2::HEADER,
    &settings::SETTINGS,
    &tunnel::FILE,
    &tunnel::NAMES,
    &exec::HANDOFF,
    &exec::SCRIPT,
    &exec::PATHS,
];

/// Those that have a fault, for the test of the fuzzer itself; they run only by name.
pub const PLANTED: [&Target; 2] = [&planted::PANIC, &planted::ABORT];
