// SPDX-License-Identifier: GPL-2.0-only
//! What sides need that is not a command, and what this machine lacks.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::machine::timed;
use crate::rows::Side;

/// What a side needs that is not a command.
#[derive(Debug, Default, Clone)]
pub struct Libraries {
    /// libstowaway.so
    pub shim: Option<PathBuf>,
    /// Other catchers of calls, where somebody has them.
    pub peers: Vec<(Side, PathBuf)>,
    /// What they want in the environment.
    pub peer_environment: Vec<(OsString, OsString)>,
}

impl Libraries {
    /// The library of a peer.
    pub(super) fn peer(&self, side: Side) -> Option<&Path> {
        self.peers.iter().find(|(other, _)| *other == side).map(|(_, path)| path.as_path())
    }

    /// Why this machine cannot run `side`, if so.
    pub fn missing(&self, side: Side) -> Option<String> {
        let tools: &[&str] = match side {
            Side::Native | Side::Kernel => return None,
            peer if peer.is_peer() => &[],
            Side::Gvisor => &["runsc"],
            Side::Uml => &["linux.uml"],
            Side::Loop => &["mkfs.ext4", "mount", "umount"],
            Side::Stowaway => &["mkfs.ext4", "e2fsck"],
            _ => &["mkfs.ext4", "fuse2fs", "umount"],
        };
        if let Some(tool) = tools.iter().find(|tool| !timed::is_installed(tool)) {
            return Some(format!("{tool} is not installed"));
        }
        match side {
            peer if peer.is_peer() && self.peer(peer).is_none() => {
                Some(format!("name its library with --{}", side.name().replace('_', "-")))
            }
            Side::Stowaway if self.shim.is_none() => {
                Some("libstowaway.so is not built (or name it with --shim)".into())
            }
            Side::Loop => cannot_open("/dev/loop-control"),
            Side::Fuse2fs => cannot_open("/dev/fuse"),
            _ => None,
        }
    }
}

fn cannot_open(device: &str) -> Option<String> {
    let opened = OpenOptions::new().read(true).write(true).open(device);
    opened.err().map(|error| format!("{device}: {error}"))
}

/// The library named, or the one built beside this program, or in the workspace's target directory.
pub fn find_shim(named: Option<&Path>) -> Result<Option<PathBuf>> {
    const NAME: &str = "libstowaway.so";
    if let Some(path) = named {
        let path = path.canonicalize().with_context(|| format!("--shim {}", path.display()))?;
        return Ok(Some(path));
    }
    let beside = std::env::current_exe()?.with_file_name(NAME);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release").join(NAME);
    Ok([beside, built].into_iter().find_map(|path| path.canonicalize().ok()))
}
