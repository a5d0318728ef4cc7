// SPDX-License-Identifier: GPL-2.0-only
//! What a side does in a row, in words.

use crate::rows::{Family, Kind, Row, Side};

/// What this side does in a row, in words.
pub fn does(side: Side, row: &Row) -> String {
    let work = match row.kind {
        Kind::Program { argv, .. } => argv.join(" "),
        Kind::Loop { .. } | Kind::Core(_) => "the loop".into(),
        Kind::Boot | Kind::BootMemory => "the boot of a process's kernel".into(),
        Kind::Memory => match side {
            Side::Fuse2fs => "the program's resident set and the daemon's".into(),
            _ => "the program's resident set".into(),
        },
        Kind::FirstHits => "a process that has not run the sites yet".into(),
        Kind::Sites => "stowaway doctor".into(),
    };
    if row.family == Family::Core {
        return match side {
            Side::Native => format!("{work}, served by the host's kernel"),
            Side::Kernel => {
                format!("{work}, served by the kernel library, which the program calls itself")
            }
            Side::Gvisor | Side::Uml => format!("{work} inside of {}", side.name()),
            _ => format!("{work}, served by the kernel library through the shim"),
        };
    }
    if row.family == Family::Calls {
        return match side {
            Side::Native => work,
            Side::Stowaway if row.catches_itself() => {
                format!("{work} in a program with the trampoline in it")
            }
            Side::Stowaway => format!("{work} with the library preloaded and a mount configured"),
            _ => format!("{work} with {} preloaded", side.name()),
        };
    }
    let timed = matches!(row.kind, Kind::Program { uses_mount: true, .. });
    match (side, timed) {
        (Side::Native, _) => format!("{work} on a host directory"),
        (Side::Stowaway, true) => format!("{work} with the library preloaded: boot, mount, use, unmount"),
        (Side::Stowaway, false) => format!("{work} with the library preloaded"),
        (Side::Loop, true) => format!("mount -o loop; {work}; umount"),
        (Side::Fuse2fs, true) => format!("fuse2fs; {work}; umount, until its daemon has ended"),
        (Side::Loop, false) => format!("{work} on a loop mount that stands"),
        (Side::Fuse2fs, false) => format!("{work} on a fuse2fs mount that stands"),
        _ => "nothing: it serves no image".into(),
    }
}
