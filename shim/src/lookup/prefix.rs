// SPDX-License-Identifier: GPL-2.0-only
//! Whether a path lies below another, by its name alone. Pure: bytes in, a position out.

/// Where the rest of `path` begins behind `prefix` (canonical, not the root), if the path lies at or below it. Doubled
/// slashes and `.` are skipped as the kernel skips them; `..` is a name like any other.
pub fn strip(path: &[u8], prefix: &[u8]) -> Option<usize> {
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
    use super::strip;

    fn rest<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
        strip(path.as_bytes(), prefix.as_bytes()).map(|at| &path[at..])
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
