// SPDX-License-Identifier: GPL-2.0-only
//! How much a directory holds, so that an image can be made large enough.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fail::reason;

const BLOCK: u64 = 4096;
/// What an empty image offers, and every filled one besides its content.
const SPARE: u64 = 64 << 20;

/// What a tree holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Bytes, each file rounded up to blocks.
    pub bytes: u64,
    /// Files, directories and links of every kind; several names of one file count once.
    pub inodes: u64,
}

impl Content {
    /// Room for it and half as much again, with the file system's own tables.
    pub fn room(&self) -> u64 {
        let bytes = self.bytes + self.inodes * 512;
        (bytes + bytes / 2 + SPARE).div_ceil(1 << 20) << 20
    }
}

/// Walks through `dir`, not following links.
pub fn measure(dir: &Path) -> Result<Content, String> {
    let mut content = Content::default();
    let mut linked = HashSet::new();
    let mut waiting = vec![dir.to_path_buf()];
    while let Some(dir) = waiting.pop() {
        let say = |error: std::io::Error| format!("{}: {}", dir.display(), reason(&error));
        for entry in std::fs::read_dir(&dir).map_err(say)? {
            let entry = entry.map_err(say)?;
            let meta = entry
                .metadata()
                .map_err(|error| format!("{}: {}", entry.path().display(), reason(&error)))?;
            if meta.is_dir() {
                waiting.push(entry.path());
            } else if meta.nlink() > 1 && !linked.insert((meta.dev(), meta.ino())) {
                continue;
            }
            content.inodes += 1;
            content.bytes += meta.len().div_ceil(BLOCK) * BLOCK;
        }
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_file_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        std::fs::write(&file, [0; 5000]).unwrap();
        std::fs::hard_link(&file, dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("c")).unwrap();
        assert_eq!(measure(dir.path()), Ok(Content { bytes: 3 * BLOCK, inodes: 2 }));
        assert!(measure(Path::new("/no/such")).unwrap_err().contains("No such file"));
    }
}
