// SPDX-License-Identifier: GPL-2.0-only
//! Which mount a path lies in, by its name alone.

use stowaway_config::Mount;

use crate::lookup::prefix;
use crate::sys::root;
use crate::sys::settings::settings;

/// The path of a mount as the program has it. None: the mount does not lie below the program's root (chroot(2)).
pub fn visible(mount: &Mount) -> Option<&[u8]> {
    visible_from(mount, root::host_prefix())
}

/// The same of another root, by its path from where the settings name the mounts.
pub fn visible_from<'a>(mount: &'a Mount, prefix: &[u8]) -> Option<&'a [u8]> {
    mount.path.strip_prefix(prefix).filter(|rest| rest.starts_with(b"/"))
}

/// Index of the mount that holds `path` (absolute, no `..`), and where the rest of the path begins.
pub fn find_mount(path: &[u8]) -> Option<(usize, usize)> {
    let mounts = settings().mounts.iter().enumerate();
    // Of mounts below each other the deepest.
    mounts
        .filter_map(|(i, m)| prefix::strip(path, visible(m)?).map(|at| (i, at)))
        .max_by_key(|&(i, _)| settings().mounts[i].path.len())
}

/// Whether the last name of `path` is the last name of a mount's path.
pub fn ends_like_a_mount(path: &[u8]) -> bool {
    let last = |path: &[u8]| -> (usize, usize) {
        let end = path.iter().rposition(|&b| b != b'/').map_or(0, |at| at + 1);
        (path[..end].iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1), end)
    };
    let (from, to) = last(path);
    settings().mounts.iter().any(|m| m.path[last(&m.path).0..] == path[from..to])
}

/// Whether the canonical `path` is a directory on the way to a mount's path.
pub fn is_above_mount(path: &[u8]) -> bool {
    settings()
        .mounts
        .iter()
        .filter_map(visible)
        .any(|mount| mount.strip_prefix(path).is_some_and(|rest| rest.first() == Some(&b'/')))
}
