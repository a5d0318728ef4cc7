// SPDX-License-Identifier: GPL-2.0-only
//! Where the preload library is.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use goblin::elf::header::ET_DYN;

use crate::elf::Elf;
use crate::fail::reason;

/// The library's file name.
pub const NAME: &str = "libstowaway.so";

/// Where the ELF header has the entry (elf(5)): 0 if the file cannot be executed.
const E_ENTRY: std::ops::Range<usize> = 24..32;

/// What the library is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is executed and loads the program.
    Load,
    /// The dynamic loader preloads it.
    Preload,
}

/// Finds the library: `named` (STOWAWAY_LIB) and nothing else if given; else beside this command; else in
/// ../lib/stowaway. `Err` says what was tried.
pub fn find(named: Option<&Path>, how: Use) -> Result<PathBuf, String> {
    if let Some(named) = named {
        let path = std::path::absolute(named).map_err(|error| format!("STOWAWAY_LIB: {}", reason(&error)))?;
        return usable(&path, how).map(|()| path).map_err(|why| format!("STOWAWAY_LIB: {why}"));
    }
    let own = std::env::current_exe().map_err(|error| format!("{NAME}: {}", reason(&error)))?;
    let dir = own.parent().unwrap_or(Path::new("/"));
    let beside = dir.join(NAME);
    let installed = dir.parent().unwrap_or(dir).join("lib/stowaway").join(NAME);
    for path in [&beside, &installed] {
        if path.exists() {
            return usable(path, how).map(|()| path.clone());
        }
    }
    Err(format!(
        "{NAME}: not found at {} or {}; build it, or set STOWAWAY_LIB to its path",
        beside.display(),
        installed.display()
    ))
}

/// Whether the file can be used so. `Err` says why not.
fn usable(path: &Path, how: Use) -> Result<(), String> {
    let shown = path.display();
    let error = |error: std::io::Error| format!("{shown}: {}", reason(&error));
    if how == Use::Preload && path.as_os_str().as_bytes().iter().any(|byte| b" :".contains(byte)) {
        return Err(format!(
            "{shown}: LD_PRELOAD takes no path with a space or colon; move or link the library"
        ));
    }
    let file = File::open(path).map_err(error)?;
    let mut head = [0; 64];
    file.read_exact_at(&mut head, 0).map_err(|_| format!("{shown}: is not a shared library"))?;
    match Elf::read(&file, &head) {
        Ok(Elf::X86_64 { dynamic: true, kind: ET_DYN, .. })
            if how == Use::Load && head[E_ENTRY] == [0; 8] =>
        {
            Err(format!("{shown}: cannot be executed: it belongs to another version of the command"))
        }
        Ok(Elf::X86_64 { dynamic: true, kind: ET_DYN, .. }) => Ok(()),
        _ => Err(format!("{shown}: is not a 64-bit x86 shared library")),
    }
}

/// LD_PRELOAD with the library first. What was there before stays.
pub fn preload(library: &Path, before: Option<&OsStr>) -> OsString {
    let library = library.as_os_str().as_bytes();
    let mut value = library.to_vec();
    for other in before.unwrap_or_default().as_bytes().split(|byte| b" :".contains(byte)) {
        if !other.is_empty() && other != library {
            value.push(b':');
            value.extend_from_slice(other);
        }
    }
    OsString::from_vec(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_first_and_once() {
        let library = Path::new("/x/libstowaway.so");
        assert_eq!(preload(library, None), "/x/libstowaway.so");
        assert_eq!(preload(library, Some(OsStr::new("a.so  b.so"))), "/x/libstowaway.so:a.so:b.so");
        assert_eq!(preload(library, Some(OsStr::new("a.so:/x/libstowaway.so"))), "/x/libstowaway.so:a.so");
    }
}
