// SPDX-License-Identifier: GPL-2.0-only
//! The kernel of this process: boot, the way into it, mounts and their images, pairs of descriptors, and the
//! interruption of threads by events.

pub mod boot;
pub mod enter;
mod further_images;
pub mod images;
mod inner_image;
pub mod keeper;
mod kernel_log;
pub mod kick;
pub mod limits;
pub mod maps;
pub mod mounts;
pub mod network;
mod overlay;
pub mod pair;
pub mod passing;
pub mod porter;
mod remote;
pub mod server_keepalive;
pub mod watches;
