// SPDX-License-Identifier: GPL-2.0-only
//! Where a path leads: to the host or into a mount.

pub mod covered_dirs;
pub mod cwd;
pub mod magic_links;
pub mod mount_lookup;
pub mod resolve;
pub mod route;
pub mod self_exe;
