// SPDX-License-Identifier: GPL-2.0-only
//! The `stowaway` command.
fn main() {}
