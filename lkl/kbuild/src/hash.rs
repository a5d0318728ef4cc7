// SPDX-License-Identifier: GPL-2.0-only
//! A stable hash for names of build directories (64-bit FNV-1a; nobody attacks it).

use crate::Error;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for b in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn hex(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// All files below `dir`, relative, sorted.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    fn walk(dir: &Path, rel: &Path, out: &mut Vec<PathBuf>) -> Result<(), Error> {
        let at = dir.join(rel);
        for e in fs::read_dir(&at).map_err(|e| Error::io("read", &at, e))? {
            let e = e.map_err(|e| Error::io("read", &at, e))?;
            let name = rel.join(e.file_name());
            if e.path().is_dir() {
                walk(dir, &name, out)?;
            } else {
                out.push(name);
            }
        }
        Ok(())
    }
    let mut out = Vec::new();
    walk(dir, Path::new(""), &mut out)?;
    out.sort();
    Ok(out)
}

/// Adds names and contents of all files below `dir`.
pub(crate) fn add_tree(h: &mut Hash, dir: &Path) -> Result<(), Error> {
    for f in files(dir)? {
        let path = dir.join(&f);
        h.add(f.as_os_str().as_encoded_bytes());
        h.add(&fs::read(&path).map_err(|e| Error::io("read", &path, e))?);
    }
    Ok(())
}
