// SPDX-License-Identifier: GPL-2.0-only
//! What an environment holds on the way through our loader, beside the settings: which program is meant, and the
//! variables that would act on the loader's own libc if they kept their names.

use crate::names::Key;

/// `STOWAWAY_EXEC=FD:NAME`: the program to start is open at FD and called NAME; without FD it is to be found by
/// NAME.
pub const EXEC: &[u8] = b"STOWAWAY_EXEC=";
/// The path that the program is to see as its own (`/proc/self/exe`), where FD cannot tell: it lies in a mount.
pub const EXEC_PATH: &[u8] = b"STOWAWAY_EXEC_PATH=";
/// Put before the variables that are for the program's dynamic loader and libc alone.
pub const KEPT: &[u8] = b"STOWAWAY_KEPT_";
/// What the program before the exec handed on: descriptors, the kernel, who the program is told that it is (the setting `as`), what
/// a family that is watched has in common, the root directory.
const HANDED_ON: [&[u8]; 5] =
    [b"STOWAWAY_FDS=", b"STOWAWAY_MEMBER=", b"STOWAWAY_ID=", b"STOWAWAY_FAMILY=", b"STOWAWAY_ROOT="];

/// What the loader does with a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is ours, the program does not see it.
    Drop,
    /// The program gets it without its first so many bytes.
    Keep(usize),
}

/// What the loader does with the variable `entry` (`NAME=VALUE`).
pub fn fate(entry: &[u8]) -> Fate {
    let name = entry.split(|&byte| byte == b'=').next().unwrap_or(entry);
    if entry.starts_with(KEPT) {
        Fate::Keep(KEPT.len())
    } else if [EXEC, EXEC_PATH].iter().chain(&HANDED_ON).any(|ours| entry.starts_with(ours))
        || !matches!(Key::from_env(name), Ok(None))
    {
        Fate::Drop
    } else {
        Fate::Keep(0)
    }
}

/// Whether a variable acts on a dynamic loader or a libc, before the program's first instruction.
pub fn is_for_libc(entry: &[u8]) -> bool {
    [&b"LD_"[..], b"GLIBC_TUNABLES=", b"MALLOC_"].iter().any(|prefix| entry.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates() {
        for ours in [
            "STOWAWAY_EXEC=3:/bin/ls",
            "STOWAWAY_MOUNT=a:/b",
            "STOWAWAY_FDS=3",
            "STOWAWAY_ID=0",
            "STOWAWAY_RUN=1",
        ] {
            assert_eq!(fate(ours.as_bytes()), Fate::Drop);
        }
        assert_eq!(fate(b"STOWAWAY_KEPT_LD_DEBUG=all"), Fate::Keep(KEPT.len()));
        for theirs in ["HOME=/", "STOWAWAY_TEST_LOG=info", "odd", "=x"] {
            assert_eq!(fate(theirs.as_bytes()), Fate::Keep(0));
        }
        assert!(is_for_libc(b"LD_PRELOAD=x") && is_for_libc(b"MALLOC_ARENA_MAX=1"));
        assert!(!is_for_libc(b"LDFLAGS=-s") && !is_for_libc(b"HOME=LD_"));
    }
}
