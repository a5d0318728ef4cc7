// SPDX-License-Identifier: GPL-2.0-only
//! Mounts whose path does not exist on the host: the directory that they are in would not list them. On Linux a mount has a
//! directory to be mounted on, which is listed; programs that climb by `..` look for its name there (getcwd(3) of a long path).

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use once_cell::sync::OnceCell;

use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::identity::Identity;

struct MountPoint {
    parent: Identity,
    name: Vec<u8>,
    path: CString,
}

static UNSEEN: OnceCell<Vec<MountPoint>> = OnceCell::new();

/// At the start: the mounts that the host's directories do not list.
pub fn find<'a>(mounts: impl Iterator<Item = &'a [u8]>) {
    let unseen: Vec<MountPoint> = mounts.filter_map(unseen).collect();
    if !unseen.is_empty() {
        let _ = UNSEEN.set(unseen);
    }
}

fn unseen(path: &[u8]) -> Option<MountPoint> {
    let given = Path::new(OsStr::from_bytes(path));
    let (parent, name) = (given.parent()?, given.file_name()?.as_bytes().to_vec());
    let (path, parent) = (CString::new(path).ok()?, CString::new(parent.as_os_str().as_bytes()).ok()?);
    let parent = fs::stat_at(AT_FDCWD, fs::address(&parent), 0).ok()?;
    let point = MountPoint { parent: Identity::of_status(&parent), name, path };
    point.is_unseen().then_some(point)
}

impl MountPoint {
    fn is_unseen(&self) -> bool {
        fs::stat_at(AT_FDCWD, fs::address(&self.path), libc::AT_SYMLINK_NOFOLLOW).is_err()
    }
}

/// Whether there are any.
pub fn any() -> bool {
    UNSEEN.get().is_some()
}

/// The names of mounts that the open directory of the host would list, if it knew of them.
pub fn in_directory(dir: i32) -> impl Iterator<Item = &'static [u8]> {
    let this = UNSEEN.get().and_then(|_| fs::stat(dir).ok()).map(|status| Identity::of_status(&status));
    let points = UNSEEN.get().map_or(&[][..], |points| &points[..]).iter();
    points
        .filter(move |point| Some(&point.parent) == this.as_ref() && point.is_unseen())
        .map(|point| &point.name[..])
}
