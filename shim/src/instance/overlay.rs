// SPDX-License-Identifier: GPL-2.0-only
//! overlayfs: directories of mounts laid over each other. The layers are named by the program's own paths, and lie in mounts
//! that are made first.

use stowaway_config::Mount;

use crate::instance::images::{Said, Tries};
use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::settings::settings;
use std::ffi::CString;

/// Where the kernel sees the mounts when it makes one (`ANCHOR_DIR`, overlay `fs/mount.h`).
const ANCHORS: &str = "/anchor";
const LAYERS: [&str; 3] = ["lowerdir", "upperdir", "workdir"];

/// Whether the mount is an overlay.
pub fn is_overlay(mount: &Mount) -> bool {
    mount.fstype.as_deref() == Some("overlay")
}

/// Whether nothing can be written: there is no upper layer.
pub fn is_read_only(mount: &Mount) -> bool {
    is_overlay(mount) && !mount.opts.iter().any(|option| option.starts_with("upperdir="))
}

/// The mounts that the layers of an overlay lie in, by their places in the settings; none for other mounts.
pub fn below(mount: &Mount, tries: &Tries) -> Result<Vec<usize>> {
    if !is_overlay(mount) {
        return Ok(Vec::new());
    }
    let layers = mount.opts.iter().filter_map(|option| layers_of(option)).flat_map(|(_, paths)| paths);
    layers.map(|path| mount_of(path).ok_or_else(|| refuse(mount, tries, path))).collect()
}

/// The options as the kernel is to be told: with the paths as it sees them.
pub fn options(data: &str) -> String {
    let translated = data.split(',').map(|option| match layers_of(option) {
        Some((name, paths)) => {
            let paths: Vec<String> = paths.iter().map(|path| format!("{ANCHORS}{path}")).collect();
            format!("{name}={}", paths.join(":"))
        }
        None => option.to_owned(),
    });
    translated.collect::<Vec<_>>().join(",")
}

/// `lowerdir=A:B`: its name and the paths. A colon behind a backslash belongs to a name.
fn layers_of(option: &str) -> Option<(&str, Vec<&str>)> {
    let (name, mut rest) = option.split_once('=').filter(|(name, _)| LAYERS.contains(name))?;
    let mut paths = Vec::new();
    if name == "lowerdir" {
        while let Some(at) = first_colon(rest) {
            paths.push(&rest[..at]);
            rest = &rest[at + 1..];
        }
    }
    paths.push(rest);
    Some((name, paths))
}

fn first_colon(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let hit = byte == b':' && !escaped;
        escaped = byte == b'\\' && !escaped;
        hit
    })
}

/// The mount of an image that a path is in.
fn mount_of(path: &str) -> Option<usize> {
    let path = path.as_bytes();
    let plain = path.starts_with(b"/") && !path.split(|&byte| byte == b'/').any(|name| name == b"..");
    settings().mounts.iter().position(|mount| plain && !is_overlay(mount) && mount.contains(path))
}

fn refuse(mount: &Mount, tries: &Tries, path: &str) -> Errno {
    let name = CString::new(&mount.path[..]).unwrap_or_default();
    Said { name: &name, reported: &tries.reported }.once(
        Errno::EINVAL,
        format_args!(
            "{path} is in no other mount: overlayfs lies over directories of mounts, named by absolute paths: {}",
            Explained(Errno::EINVAL)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_layers_are_translated() {
        let options = options("lowerdir=/a:/b\\:c:/d,upperdir=/u:p,redirect_dir=on,workdir=/w");
        assert_eq!(
            options,
            "lowerdir=/anchor/a:/anchor/b\\:c:/anchor/d,upperdir=/anchor/u:p,redirect_dir=on,workdir=/anchor/w"
        );
    }
}
