// SPDX-License-Identifier: GPL-2.0-only
//! What this process was started with, and hands on to the programs that it starts, whatever becomes of its
//! environment: where the library is, and the settings.
//!
//! Made once by the constructor, which may allocate; read at every exec, which may not.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use once_cell::sync::OnceCell;
use stowaway_config::{Config, Key};

use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::identity::Identity;
use crate::sys::proc_self;
use crate::sys::scratch::PATH_MAX;
use crate::sys::settings::is_loader;

/// What is handed on.
#[derive(Debug, Default)]
pub struct Kept {
    /// The library's file; empty: not known.
    pub library: CString,
    /// Which file that is: LD_PRELOAD may name it otherwise.
    pub id: Option<Identity>,
    /// How LD_PRELOAD named it when this process was started: a relative path means nothing elsewhere.
    pub named: Option<CString>,
    /// The settings.
    pub settings: Vec<Setting>,
}

/// One variable.
#[derive(Debug)]
pub struct Setting {
    /// `NAME=VALUE` as it is handed on, relative paths made absolute.
    pub text: CString,
    /// `NAME=VALUE` as this process found it.
    pub found: Vec<u8>,
    /// The length of `NAME=`.
    pub name: usize,
}

static KEPT: OnceCell<Kept> = OnceCell::new();

/// What is handed on; None: nothing was asked for.
pub fn get() -> Option<&'static Kept> {
    KEPT.get()
}

/// In the constructor: keeps the settings as found, and where the library is.
pub fn remember(found: &[(OsString, OsString)], config: &Config, cwd: Option<&Path>) {
    let library = if is_loader() { executed() } else { library() }.unwrap_or_default();
    let id = file_id(&library);
    let mut kept = Kept { library, id, named: None, settings: settings(found, config, cwd) };
    let preload = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    let entries = preload.as_bytes().split(|byte| matches!(byte, b' ' | b':'));
    kept.named = entries.filter_map(|entry| CString::new(entry).ok()).find(|entry| kept.is_library(entry));
    let _ = KEPT.set(kept);
}

fn settings(found: &[(OsString, OsString)], config: &Config, cwd: Option<&Path>) -> Vec<Setting> {
    let checked = config.to_env();
    let mut kept: Vec<Setting> = Vec::new();
    for (name, value) in found {
        let Ok(Some(key)) = Key::from_env(name.as_bytes()) else { continue };
        let pair = |value: &OsStr| [name.as_bytes(), b"=", value.as_bytes()].concat();
        let plain = pair(value);
        let length = name.len() + 1;
        // The directory is described anew at each exec; of a doubled name the first counts.
        if key == Key::Cwd || kept.iter().any(|other| plain.starts_with(&other.found[..other.name])) {
            continue;
        }
        let prepared = match checked.iter().find(|(other, _)| other.as_bytes() == name.as_bytes()) {
            Some((_, value)) => pair(value),
            None if matches!(key, Key::Config | Key::Lib) => {
                pair(cwd.map_or(value.into(), |cwd| cwd.join(value)).as_os_str())
            }
            None => plain.clone(),
        };
        if let Ok(text) = CString::new(prepared) {
            kept.push(Setting { text, found: plain, name: length });
        }
    }
    kept
}

/// The file that the host executed: our loader. (A path that is gone ends in " (deleted)", and is no file's.)
fn executed() -> Option<CString> {
    let mut path = [0; PATH_MAX];
    let n = fs::read_link_at(AT_FDCWD, fs::address(c"/proc/self/exe"), &mut path).ok()?;
    CString::new(&path[..n]).ok()
}

/// The file that this code was mapped from. Not from LD_PRELOAD, which may have changed.
fn library() -> Option<CString> {
    // SAFETY: plain data, filled by dladdr; the name is the dynamic loader's own and stays.
    let named = unsafe {
        let mut found: libc::Dl_info = core::mem::zeroed();
        let known =
            libc::dladdr(library as *const libc::c_void, &mut found) != 0 && !found.dli_fname.is_null();
        known.then(|| CStr::from_ptr(found.dli_fname))
    };
    if let Some(path) = named.filter(|path| path.to_bytes().starts_with(b"/")) {
        return Some(path.into());
    }
    // A relative name: the host knows the whole one (and takes longer to say so).
    let maps = proc_self::read_all(c"/proc/self/maps").ok()?;
    let here = library as *const () as usize;
    maps.split(|&byte| byte == b'\n').find_map(|line| mapped_file(line, here))
}

/// The file of a line of /proc/PID/maps (proc(5)), if `address` lies in it.
fn mapped_file(line: &[u8], address: usize) -> Option<CString> {
    let text = core::str::from_utf8(&line[..line.iter().position(|&byte| byte == b' ')?]).ok()?;
    let (from, to) = text.split_once('-')?;
    let range = usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?;
    if !range.contains(&address) {
        return None;
    }
    let path = &line[line.iter().position(|&byte| byte == b'/')?..];
    CString::new(path.strip_suffix(b" (deleted)").unwrap_or(path)).ok()
}

/// The file at a path.
fn file_id(path: &CStr) -> Option<Identity> {
    Identity::at(AT_FDCWD, fs::address(path), 0)
}

impl Kept {
    /// Whether an entry of LD_PRELOAD is the library.
    pub fn is_library(&self, entry: &CStr) -> bool {
        let (entry_bytes, own) = (entry.to_bytes(), self.library.to_bytes());
        if entry_bytes == own || self.named.as_deref() == Some(entry) {
            return true;
        }
        if entry_bytes.contains(&b'/') {
            return self.id.is_some() && file_id(entry) == self.id;
        }
        // Found by the loader in its directories.
        own.rsplit(|&byte| byte == b'/').next() == Some(entry_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_address() {
        let line = b"7f00-8f00 r-xp 00000000 fe:00 12 /a b/lib.so";
        assert_eq!(mapped_file(line, 0x8eff).as_deref(), Some(c"/a b/lib.so"));
        assert_eq!(mapped_file(line, 0x8f00), None);
        assert_eq!(mapped_file(b"0-1000 rw-p 0 00:00 0", 1), None);
        assert_eq!(mapped_file(b"0-1000 r-xp 0 00:00 7 /x (deleted)", 1).as_deref(), Some(c"/x"));
        assert_eq!(mapped_file(b"", 1), None);
    }

    #[test]
    fn settings_are_absolute() {
        let var = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let found = [
            var("STOWAWAY_MOUNT", "a.img:/m"),
            var("STOWAWAY_MOUNT", "b.img:/m"),
            var("STOWAWAY_CWD", "/m/x"),
            var("STOWAWAY_CONFIG", "s.toml"),
            var("STOWAWAY_TEST_X", "1"),
        ];
        let mut config = Config::from_env(found.iter().cloned()).unwrap();
        let cwd = Path::new("/home/u");
        config.absolutize(cwd).unwrap();
        let kept = settings(&found, &config, Some(cwd));
        let texts: Vec<_> = kept.iter().map(|s| s.text.to_str().unwrap()).collect();
        assert_eq!(texts, ["STOWAWAY_MOUNT=/home/u/a.img:/m", "STOWAWAY_CONFIG=/home/u/s.toml"]);
        assert_eq!(kept[0].found, b"STOWAWAY_MOUNT=a.img:/m");
        assert_eq!(kept[0].name, "STOWAWAY_MOUNT=".len());
    }

    #[test]
    fn the_library_by_its_names() {
        let own = Kept { library: c"/x/libstowaway.so".into(), ..Kept::default() };
        assert!(own.is_library(c"/x/libstowaway.so") && own.is_library(c"libstowaway.so"));
        assert!(!own.is_library(c"/y/libstowaway.so") && !own.is_library(c"libm.so.6"));
        let own = Kept { named: Some(c"./a.so".into()), ..own };
        assert!(own.is_library(c"./a.so") && !own.is_library(c"a.so"));
    }
}
