// SPDX-License-Identifier: GPL-2.0-only
//! Sites found once need not be looked for again: a file for each module in the user's cache directory, named by the
//! module's build-id.
//!
//! A cache may be wrong, and must not do harm: it is read only if the user alone can write it, whole and intact; and each
//! site is used only where the code's bytes are those that the decision was based on. Failures are silent: they cost
//! the search.
//!
//! Floors, from the lowest: crc32, format.

use std::ffi::CString;

use crate::host::{self, File};

mod crc32;
mod format;

use format::{format, parse};
pub use format::{Known, SPAN_MAX};

/// Larger files are none of ours.
const FILE_MAX: usize = 1 << 20;

/// Where the files are, of `XDG_CACHE_HOME` and `HOME` in the environment (XDG Base Directory Specification).
pub fn directory(cache_home: Option<&[u8]>, home: Option<&[u8]>) -> Option<Vec<u8>> {
    let absolute = |path: &&[u8]| path.starts_with(b"/");
    let base = match cache_home.filter(absolute) {
        Some(cache_home) => cache_home.to_vec(),
        None => [home.filter(absolute)?, b"/.cache"].concat(),
    };
    Some([&base, b"/stowaway/sites".as_slice()].concat())
}

/// The sites of the module `build_id`, mapped `bias` from where it was linked.
pub fn load(directory: &[u8], build_id: &[u8], bias: u64) -> Option<Vec<Known>> {
    let path = path_of(directory, build_id, "")?;
    let file = File::open(&path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0)?;
    let text = is_trusted(&file).then(|| file.read_all()).flatten();
    drop(file);
    parse(&text?, build_id, bias)
}

/// Keeps `sites` for the next time.
pub fn save(directory: &[u8], build_id: &[u8], bias: u64, sites: &[Known]) -> Option<()> {
    let text = format(build_id, bias, sites);
    if text.len() > FILE_MAX {
        return None;
    }
    make_directories(directory);
    let own = host::process_id();
    let (path, new) = (path_of(directory, build_id, "")?, path_of(directory, build_id, &format!(".{own}"))?);
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    let file = File::open(&new, flags, 0o600)?;
    let written = file.write_all(&text);
    drop(file);
    // Whole, or not at all.
    let renamed = written && host::rename(&new, &path);
    if !renamed {
        host::unlink(&new);
    }
    renamed.then_some(())
}

fn path_of(directory: &[u8], build_id: &[u8], suffix: &str) -> Option<CString> {
    if !(8..=64).contains(&build_id.len()) {
        return None;
    }
    let name: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
    CString::new([directory, b"/", name.as_bytes(), suffix.as_bytes()].concat()).ok()
}

/// Whether it is a file of a plausible size that nobody but the user can have written.
fn is_trusted(file: &File) -> bool {
    let Some(status) = file.status() else { return false };
    host::effective_user() == status.st_uid
        && status.st_mode & libc::S_IFMT == libc::S_IFREG
        && status.st_mode & 0o022 == 0
        && (0..=FILE_MAX as i64).contains(&status.st_size)
}

/// Those that are missing at the end of `path`.
fn make_directories(path: &[u8]) {
    let ends = (1..path.len()).filter(|&at| path[at] == b'/').chain([path.len()]);
    for end in ends {
        let Ok(part) = CString::new(&path[..end]) else { return };
        host::make_directory(&part, 0o700);
    }
}

#[cfg(test)]
mod tests {
    use super::format::tests::{sites, ID};
    use super::*;

    #[test]
    fn directories_are_as_the_specification_says() {
        let directory =
            |cache, home| directory(cache, home).map(|path| String::from_utf8(path).expect("text"));
        assert_eq!(directory(Some(b"/c"), Some(b"/h")).as_deref(), Some("/c/stowaway/sites"));
        assert_eq!(directory(Some(b"c"), Some(b"/h")).as_deref(), Some("/h/.cache/stowaway/sites"));
        assert_eq!(directory(None, Some(b"/h")).as_deref(), Some("/h/.cache/stowaway/sites"));
        assert_eq!(directory(None, None), None);
    }

    #[test]
    fn files_of_others_are_not_read() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::PermissionsExt;
        let place = std::env::temp_dir().join(format!("sites-{}", std::process::id()));
        let directory = place.join("deep/sites").as_os_str().as_bytes().to_vec();
        assert_eq!(load(&directory, ID, 0), None);
        assert_eq!(save(&directory, ID, 0, &sites()), Some(()));
        assert_eq!(load(&directory, ID, 0), Some(sites()));
        let files = || {
            std::fs::read_dir(place.join("deep/sites"))
                .expect("the directory")
                .map(|file| file.expect("a file"))
        };
        assert_eq!(files().count(), 1, "nothing is left over");
        let file = files().next().expect("the file").path();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o620)).expect("chmod");
        assert_eq!(load(&directory, ID, 0), None);
        // Put right by the next one that searches.
        assert_eq!(save(&directory, ID, 0, &sites()), Some(()));
        assert_eq!(load(&directory, ID, 0), Some(sites()));
        std::fs::remove_dir_all(place).expect("removed");
    }
}
