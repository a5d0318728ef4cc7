// SPDX-License-Identifier: GPL-2.0-only
//! Image files: opened, locked, measured, told apart.
//!
//! `image_file` has the open image, `partition` reads the table of partitions, `probe` tells file systems apart. `lock`
//! locks an image, `hosts_use` asks what the host itself does with it, and `lock_owner` finds the process that has an
//! image's lock. `error` says why an image cannot be used.

mod error;
mod hosts_use;
mod image_file;
mod lock;
mod lock_owner;
mod partition;
mod partition_kind;
mod probe;

pub use error::DiskError;
pub use image_file::Disk;
pub use partition::{partitions, Partition, Sectors, Table};
pub use partition_kind::Kind as PartitionKind;
pub use probe::{is_qcow2, probe_fs};
