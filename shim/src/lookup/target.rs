// SPDX-License-Identifier: GPL-2.0-only
//! A path that was looked up: a directory descriptor and a text, to be handed to one of the two kernels.

use crate::instance::enter::KernelContext;
use crate::lookup::mount_lookup;
use crate::sys::errno::Result;
use crate::sys::fs::AT_FDCWD;

/// The root of a mount, relative to itself. Statics: their addresses are compared.
static ROOT: [u8; 2] = *b".\0";
static ROOT_AS_DIRECTORY: [u8; 3] = *b"./\0";

/// Whose a path is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The host's.
    Host,
    /// Relative to a kernel descriptor (or the kernel's current directory).
    Kernel,
    /// Relative to the root of this mount, whose descriptor is found inside the section.
    Mount(usize),
}

/// A directory descriptor and a path. The text has to stay where it is as long as the value is used.
#[derive(Clone, Copy)]
pub struct ResolvedPath {
    /// Whose the path is.
    pub target: Target,
    /// For the host and for a kernel descriptor.
    pub dirfd: i32,
    /// Address of the text.
    pub path: usize,
}

impl ResolvedPath {
    /// The path for a kernel call, from inside a section.
    pub fn in_kernel(&self, context: &mut KernelContext) -> Result<KernelPath> {
        let dirfd = match self.target {
            Target::Mount(index) => context.mount_root(index)?,
            _ => self.dirfd as usize,
        };
        Ok(KernelPath {
            dirfd,
            path: self.path,
            is_mount_root: self.is_mount_root(),
            has_slash_behind_root: self.has_slash_behind_root(),
        })
    }

    /// Whether the path is the host's.
    pub fn is_host(&self) -> bool {
        self.target == Target::Host
    }

    /// Where an absolute path without `..` lies by its name alone. A NUL has to follow `place`.
    pub fn of_place(place: &[u8]) -> ResolvedPath {
        match mount_lookup::find_mount(place) {
            None => ResolvedPath { target: Target::Host, dirfd: AT_FDCWD, path: place.as_ptr() as usize },
            Some((index, rest)) => {
                let path = match (rest == place.len(), place.last()) {
                    (true, Some(b'/')) => ROOT_AS_DIRECTORY.as_ptr() as usize,
                    (true, _) => ROOT.as_ptr() as usize,
                    _ => place[rest..].as_ptr() as usize,
                };
                ResolvedPath { target: Target::Mount(index), dirfd: -1, path }
            }
        }
    }

    /// Whether the path is the root of a mount itself.
    pub fn is_mount_root(&self) -> bool {
        self.path == ROOT.as_ptr() as usize || self.has_slash_behind_root()
    }

    /// Whether the path is the root of a mount, named with a slash behind.
    fn has_slash_behind_root(&self) -> bool {
        self.path == ROOT_AS_DIRECTORY.as_ptr() as usize
    }
}

/// A path as a call of the kernel library gets it.
#[derive(Clone, Copy)]
pub struct KernelPath {
    /// The directory descriptor.
    pub dirfd: usize,
    /// Address of the text.
    pub path: usize,
    /// The path is the root of a mount itself.
    pub is_mount_root: bool,
    /// The path is the root of a mount, named with a slash behind.
    pub has_slash_behind_root: bool,
}

/// What a call does with the last name of its path (fs/namei.c).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FinalComponent {
    /// A symlink there is followed.
    Follow,
    /// A symlink there is not followed, unless a slash stands behind it (lstat).
    Keep,
    /// The name itself is made or removed: it stays as it is written, `.`, `..` and slash included (rmdir).
    Parent,
}

impl From<bool> for FinalComponent {
    fn from(follow: bool) -> FinalComponent {
        if follow {
            FinalComponent::Follow
        } else {
            FinalComponent::Keep
        }
    }
}
