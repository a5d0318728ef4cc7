// SPDX-License-Identifier: GPL-2.0-only
//! The root directory of the process, as chroot(2) left it: a directory of the host, or one of a mount.
//!
//! A directory of the host is the host's root as well. Paths of the program are relative to it then, and so are those that this
//! library gives to the host; the settings have the paths that the mounts had before. For a root in a mount the host's root
//! stays, and no absolute path of the program reaches the host.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::sys::decimal::{self, Decimal};
use crate::sys::errno::Result;
use crate::sys::mem::Pages;
use crate::sys::path_cell::PathCell;

/// The variable by which one program's library tells the next one's: where the root is, a descriptor, and the prefix.
pub const ROOT: &[u8] = b"STOWAWAY_ROOT=";
const ON_HOST: u8 = b'h';
const IN_MOUNT: u8 = b'm';

static PREFIX: PathCell = PathCell::new();
static IS_IN_MOUNT: AtomicBool = AtomicBool::new(false);

/// The path of the host's root, from where the settings name the mounts; empty: it is the same.
#[inline]
pub fn host_prefix() -> &'static [u8] {
    PREFIX.get().unwrap_or_default()
}

/// Whether the program's root is a directory of a mount.
#[inline]
pub fn is_in_mount() -> bool {
    IS_IN_MOUNT.load(Ordering::Relaxed)
}

/// The root is the directory of the host that has this path from where the settings name the mounts.
pub fn set_on_host(prefix: &[u8]) {
    PREFIX.replace(prefix);
    IS_IN_MOUNT.store(false, Ordering::Relaxed);
}

/// The root is a directory of a mount. The host's root stays.
pub fn set_in_mount() {
    IS_IN_MOUNT.store(true, Ordering::Relaxed);
}

/// Whether the root is another one than at first.
pub fn is_changed() -> bool {
    is_in_mount() || !host_prefix().is_empty()
}

/// The variable for a new program, which finds our library open at this descriptor (0: it does not); none: the root is as it
/// was at first.
pub fn variable(library: usize) -> Result<Option<Pages>> {
    if !is_changed() {
        return Ok(None);
    }
    let place = if is_in_mount() { IN_MOUNT } else { ON_HOST };
    let (library, prefix) = (Decimal::new(library), host_prefix());
    let parts = [ROOT, &[place], library.as_bytes(), b":", prefix];
    let mut text = Pages::new(parts.iter().map(|part| part.len()).sum::<usize>() + 1)?;
    let mut at = 0;
    for part in parts {
        text.bytes()[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    Ok(Some(text))
}

/// Takes what the program before the exec said. Where our library is open; 0: nowhere.
pub fn accept(text: &[u8]) -> usize {
    let colon = text.iter().position(|&byte| byte == b':').unwrap_or(0);
    let (Some((&place, library)), Some(prefix)) = (text[..colon].split_first(), text.get(colon + 1..)) else {
        return 0;
    };
    set_on_host(prefix);
    IS_IN_MOUNT.store(place == IN_MOUNT, Ordering::Relaxed);
    decimal::parse(library).unwrap_or(0)
}

/// In the child of a fork.
pub fn reset_in_child() {
    PREFIX.reset_in_child();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        assert!(variable(7).unwrap().is_none() && !is_changed());
        assert_eq!(accept(b"h12:/jail"), 12);
        assert_eq!((host_prefix(), is_in_mount()), (&b"/jail"[..], false));
        let text = variable(7).unwrap().unwrap();
        assert!(text.as_bytes().starts_with(b"STOWAWAY_ROOT=h7:/jail\0"));
        assert_eq!(accept(b"m0:"), 0);
        assert!(is_in_mount() && host_prefix().is_empty());
        for wrong in [&b""[..], b":", b"x"] {
            assert_eq!(accept(wrong), 0);
        }
    }
}
