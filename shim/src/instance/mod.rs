// SPDX-License-Identifier: GPL-2.0-only
//! The kernel of this process: boot, entry, mounts, images, interruption of threads.

pub mod boot;
pub mod enter;
pub mod images;
pub mod kick;
pub mod mounts;
pub mod server_keepalive;
