// SPDX-License-Identifier: GPL-2.0-only
//! Which mount a path lies in, by its name alone.

use crate::sys::settings::settings;

/// Index of the mount that holds `path` (absolute, no `..`), and where the rest of the path begins.
/// Doubled slashes and `.` are skipped as the kernel skips them.
pub fn find_mount(path: &[u8]) -> Option<(usize, usize)> {
    settings().mounts.iter().enumerate().find_map(|(i, m)| strip_prefix(path, &m.path).map(|at| (i, at)))
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

/// Where the rest of `path` begins behind `prefix`, if it lies at or below it.
fn strip_prefix(path: &[u8], prefix: &[u8]) -> Option<usize> {
    let mut at = 0;
    for name in prefix[1..].split(|&b| b == b'/') {
        at = skip_separators(path, at)?;
        if !path[at..].starts_with(name) {
            return None;
        }
        at += name.len();
        if at < path.len() && path[at] != b'/' {
            return None;
        }
    }
    while at < path.len() && path[at] == b'/' {
        at += 1;
    }
    Some(at)
}

/// Behind the slashes and `.` components at `at`; None if there is no slash.
fn skip_separators(path: &[u8], mut at: usize) -> Option<usize> {
    if path.get(at) != Some(&b'/') {
        return None;
    }
    loop {
        match (path.get(at), path.get(at + 1)) {
            (Some(b'/'), _) => at += 1,
            (Some(b'.'), Some(b'/')) => at += 2,
            _ => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::strip_prefix;

    fn rest<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
        strip_prefix(path.as_bytes(), prefix.as_bytes()).map(|at| &path[at..])
    }

    #[test]
    fn a_path_at_or_below_a_mount_is_found() {
        assert_eq!(rest("/mnt/data", "/mnt/data"), Some(""));
        assert_eq!(rest("/mnt/data/", "/mnt/data"), Some(""));
        assert_eq!(rest("/mnt/data/a/b", "/mnt/data"), Some("a/b"));
        assert_eq!(rest("//mnt/.//data///a/", "/mnt/data"), Some("a/"));
        assert_eq!(rest("/m", "/m"), Some(""));
    }

    #[test]
    fn other_paths_are_not() {
        for path in ["/", "/mnt", "/mnt/dat", "/mnt/data2", "/mnt/data.x/y", "/x/mnt/data", "/.mnt/data", ""]
        {
            assert_eq!(rest(path, "/mnt/data"), None, "{path}");
        }
    }
}
