// SPDX-License-Identifier: GPL-2.0-only
//! The packages that building, making images and testing need: tools/packages.txt, read.

use std::path::{Path, PathBuf};

/// One line of the list.
pub struct Package {
    /// Debian's name.
    pub name: &'static str,
    /// A command, or a file by its path.
    proof: &'static str,
    /// `build`, `image` or `test`.
    pub purpose: &'static str,
}

/// The list.
pub fn all() -> impl Iterator<Item = Package> {
    include_str!("../packages.txt").lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| !name.starts_with('#'))?;
        Some(Package { name, proof: words.next()?, purpose: words.next()? })
    })
}

impl Package {
    /// Whether it seems to be installed (by whatever distribution).
    pub fn is_there(&self) -> bool {
        if self.proof.starts_with('/') {
            return Path::new(self.proof).exists();
        }
        find_command(self.proof).is_some()
    }
}

/// The package that has `command`.
pub fn package_of(command: &str) -> Option<&'static str> {
    all().find(|package| package.proof == command).map(|package| package.name)
}

/// A command in PATH, or where administrators' commands are (an ordinary user's PATH lacks those).
pub fn find_command(command: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(command)).find(|file| file.is_file() && crate::host::is_executable(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_whole() {
        assert!(all().count() > 15);
        assert!(all().all(|package| ["build", "image", "test", "ci"].contains(&package.purpose)));
        assert_eq!(package_of("mkfs.erofs"), Some("erofs-utils"));
    }
}
