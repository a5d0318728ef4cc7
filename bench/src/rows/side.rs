// SPDX-License-Identifier: GPL-2.0-only
//! The sides of a row: ways in which a program comes to a directory.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// A directory on the host's file system: what ratios are taken to.
    Native,
    /// The image on a loop device, mounted by the host's kernel: the fair baseline of an image.
    Loop,
    /// The image through the shim.
    Stowaway,
    /// The kernel library alone, called by the program itself.
    Kernel,
    /// The image through FUSE.
    Fuse2fs,
    /// No image: the worker in gVisor's sandbox, by its `runsc`.
    Gvisor,
    /// No image: the worker in User Mode Linux, on the host's files.
    Uml,
    /// No image: zpoline catches the calls and forwards them.
    Zpoline,
    /// No image: lazypoline catches the calls and forwards them.
    Lazypoline,
    /// No image: syscall_intercept catches the calls and forwards them.
    SyscallIntercept,
}

impl Side {
    /// In the order of the report.
    pub const IMAGE: [Side; 4] = [Side::Native, Side::Loop, Side::Stowaway, Side::Fuse2fs];
    pub const CALLS: [Side; 5] =
        [Side::Native, Side::Stowaway, Side::Zpoline, Side::Lazypoline, Side::SyscallIntercept];

    pub const CORE: [Side; 5] = [Side::Native, Side::Kernel, Side::Stowaway, Side::Gvisor, Side::Uml];

    pub fn name(self) -> &'static str {
        match self {
            Side::Native => "native",
            Side::Loop => "loop",
            Side::Stowaway => "stowaway",
            Side::Kernel => "kernel",
            Side::Fuse2fs => "fuse2fs",
            Side::Gvisor => "gvisor",
            Side::Uml => "uml",
            Side::Zpoline => "zpoline",
            Side::Lazypoline => "lazypoline",
            Side::SyscallIntercept => "syscall_intercept",
        }
    }

    pub fn has_image(self) -> bool {
        matches!(self, Side::Loop | Side::Stowaway | Side::Fuse2fs)
    }

    /// Another catcher of calls.
    pub fn is_peer(self) -> bool {
        matches!(self, Side::Zpoline | Side::Lazypoline | Side::SyscallIntercept)
    }

    /// Whether the host has to mount something before a program can use the side.
    pub fn mounts_on_host(self) -> bool {
        matches!(self, Side::Loop | Side::Fuse2fs)
    }
}
