// SPDX-License-Identifier: GPL-2.0-only
//! An instance: one kernel's memory, and the image that runs in it.
//!
//! `image` is the embedded library, `self_file` the file that the image can be mapped from once more, `region` the
//! address space that an instance lives in, `symbols` has names for addresses of kernel code.

pub(crate) mod image;
pub(crate) mod region;
mod self_file;
pub(crate) mod symbols;
