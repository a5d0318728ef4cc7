// SPDX-License-Identifier: GPL-2.0-only
//! The calls that need more than forwarding, by family. Each takes its `Call` and gives a result; the table in
//! `syscalls` says which call goes where.

pub mod alternate;
pub mod btrfs_send;
pub mod chroot;
pub mod descriptors;
pub mod devices;
pub mod host_paths;
pub mod identity;
pub mod inotify;
pub mod kill;
pub mod limits;
pub mod links;
pub mod listing;
pub mod memory;
pub mod net_host;
pub mod owner;
pub mod pages;
pub mod passing;
pub mod paths;
pub mod proc_tables;
pub mod process;
pub mod requests;
pub mod seccomp;
pub mod sockets;
pub mod splice;
pub mod transfer;
pub mod unix_names;
mod unix_room;
pub mod xattrs;
