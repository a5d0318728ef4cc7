// SPDX-License-Identifier: GPL-2.0-only
//! Which mount a path lies in, by its name alone.

use crate::lookup::prefix;
use crate::sys::settings::settings;

/// Index of the mount that holds `path` (absolute, no `..`), and where the rest of the path begins.
pub fn find_mount(path: &[u8]) -> Option<(usize, usize)> {
    let mounts = settings().mounts.iter().enumerate();
    // Of mounts below each other the deepest.
    mounts
        .filter_map(|(i, m)| prefix::strip(path, &m.path).map(|at| (i, at)))
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
        .any(|m| m.path.strip_prefix(path).is_some_and(|rest| rest.first() == Some(&b'/')))
}
