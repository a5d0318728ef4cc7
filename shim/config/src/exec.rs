// SPDX-License-Identifier: GPL-2.0-only
//! What an environment holds on the way through our loader, beside the settings: which program is meant, and what the program before
//! the exec has handed on.

use crate::names::Key;

/// `STOWAWAY_EXEC=FD:NAME`: the program to start is open at FD and called NAME; without FD it is to be found by
/// NAME.
pub const EXEC: &[u8] = b"STOWAWAY_EXEC=";
/// The path that the program is to see as its own (`/proc/self/exe`), where FD cannot tell: it lies in a mount.
pub const EXEC_PATH: &[u8] = b"STOWAWAY_EXEC_PATH=";
/// What the program before the exec handed on: descriptors, the kernel, who the program is told that it is (the setting `as`), what
/// a family that is watched has in common, the root directory.
const HANDED_ON: [&[u8]; 5] =
    [b"STOWAWAY_FDS=", b"STOWAWAY_MEMBER=", b"STOWAWAY_ID=", b"STOWAWAY_FAMILY=", b"STOWAWAY_ROOT="];

/// Whether a variable (`NAME=VALUE`) is ours: the loader takes it out of the program's environment.
pub fn is_ours(entry: &[u8]) -> bool {
    let name = entry.split(|&byte| byte == b'=').next().unwrap_or(entry);
    let mut for_the_loader = [EXEC, EXEC_PATH].into_iter().chain(HANDED_ON);
    for_the_loader.any(|ours| entry.starts_with(ours)) || !matches!(Key::from_env(name), Ok(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_ours() {
        let ours = [
            "STOWAWAY_EXEC=3:/bin/ls",
            "STOWAWAY_MOUNT=a:/b",
            "STOWAWAY_FDS=3",
            "STOWAWAY_ID=0",
            "STOWAWAY_RUN=1",
        ];
        assert!(ours.into_iter().all(|entry| is_ours(entry.as_bytes())));
        let theirs = ["HOME=/", "LD_PRELOAD=x", "STOWAWAY_TEST_LOG=info", "odd", "=x"];
        assert!(!theirs.into_iter().any(|entry| is_ours(entry.as_bytes())));
    }
}
