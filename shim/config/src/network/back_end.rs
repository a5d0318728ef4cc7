// SPDX-License-Identifier: GPL-2.0-only
//! Where an interface's frames go.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::text::escape_into;

/// Where an interface's frames go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackEnd {
    /// The host's own connections, by passt.
    User,
    /// A tap device of the host.
    Tap(String),
    /// A descriptor that the program was started with.
    Fd(i32),
    /// A Unix socket that speaks QEMU's protocol.
    Stream {
        /// Its path.
        path: PathBuf,
        /// Wait for a peer there, instead of connecting.
        listen: bool,
    },
    /// The socket of a `stowaway switch`.
    Switch(PathBuf),
    /// A link to another instance that has the same path.
    Pair(PathBuf),
}

impl BackEnd {
    /// `KIND`, or `KIND:WHICH`.
    pub(super) fn parse(text: &[u8]) -> Result<BackEnd, String> {
        let (kind, rest) = match text.iter().position(|&b| b == b':') {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &b""[..]),
        };
        let said = String::from_utf8_lossy(rest).into_owned();
        match kind {
            b"user" if text == b"user" => Ok(BackEnd::User),
            b"tap" if is_name(rest) => Ok(BackEnd::Tap(said)),
            b"tap" => Err("has no name of an interface: 1 to 15 letters, digits or ._-".into()),
            b"fd" => match said.parse() {
                Ok(fd) if fd > 2 => Ok(BackEnd::Fd(fd)),
                _ => Err("has no number of a descriptor above 2".into()),
            },
            b"stream" => Ok(BackEnd::Stream { path: path(rest)?, listen: false }),
            b"switch" => Ok(BackEnd::Switch(path(rest)?)),
            b"pair" => Ok(BackEnd::Pair(path(rest)?)),
            b"none" | b"lo" => Err("stands alone, and not with interfaces".into()),
            _ => Err("is not known".into()),
        }
    }

    pub(super) fn format_into(&self, text: &mut Vec<u8>) {
        match self {
            BackEnd::User => text.extend_from_slice(b"user"),
            BackEnd::Tap(name) => text.extend_from_slice(format!("tap:{name}").as_bytes()),
            BackEnd::Fd(fd) => text.extend_from_slice(format!("fd:{fd}").as_bytes()),
            BackEnd::Stream { path, listen } => {
                text.extend_from_slice(b"stream:");
                escape_into(text, path.as_os_str().as_bytes());
                text.extend_from_slice(if *listen { b",listen" } else { b"" });
            }
            BackEnd::Switch(path) => {
                text.extend_from_slice(b"switch:");
                escape_into(text, path.as_os_str().as_bytes());
            }
            BackEnd::Pair(path) => {
                text.extend_from_slice(b"pair:");
                escape_into(text, path.as_os_str().as_bytes());
            }
        }
    }

    /// Whether one thing of the host would have to be two back ends.
    pub(super) fn is_exclusive_with(&self, other: &BackEnd) -> bool {
        match self {
            BackEnd::User | BackEnd::Tap(_) | BackEnd::Fd(_) | BackEnd::Pair(_) => self == other,
            BackEnd::Stream { .. } | BackEnd::Switch(_) => false,
        }
    }

    /// Whether it may come back when it has ended.
    pub fn returns(&self) -> bool {
        matches!(self, BackEnd::Switch(_) | BackEnd::Pair(_))
    }

    pub(super) fn absolutize(&mut self, cwd: &Path) {
        match self {
            BackEnd::Stream { path, .. } | BackEnd::Switch(path) | BackEnd::Pair(path) => {
                *path = cwd.join(&path);
            }
            BackEnd::User | BackEnd::Tap(_) | BackEnd::Fd(_) => {}
        }
    }
}

/// A name of an interface: IFNAMSIZ is 16, with the NUL.
fn is_name(name: &[u8]) -> bool {
    let may_be = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    (1..=15).contains(&name.len()) && name.iter().all(may_be) && !name.starts_with(b".")
}

fn path(text: &[u8]) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains(&0) {
        return Err("has no path of a socket".into());
    }
    Ok(PathBuf::from(OsStr::from_bytes(text)))
}
