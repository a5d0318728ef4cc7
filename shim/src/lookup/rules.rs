// SPDX-License-Identifier: GPL-2.0-only
//! Where the walk of a path may go: the RESOLVE_ flags of openat2(2).

use crate::sys::errno::Errno;

/// The rules of one walk.
#[derive(Clone, Copy)]
pub struct Rules(u64);

impl Rules {
    /// The rules of a walk that may go anywhere.
    pub const NONE: Rules = Rules(0);

    /// The rules in the `resolve` of a `struct open_how`.
    pub fn new(resolve: u64) -> Rules {
        let known = libc::RESOLVE_BENEATH
            | libc::RESOLVE_IN_ROOT
            | libc::RESOLVE_NO_SYMLINKS
            | libc::RESOLVE_NO_MAGICLINKS
            | libc::RESOLVE_NO_XDEV;
        Rules(resolve & known)
    }

    fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// Whether there are any.
    pub fn are_any(self) -> bool {
        self.0 != 0
    }

    /// The directory that the walk begins at is never left.
    pub fn are_scoped(self) -> bool {
        self.has(libc::RESOLVE_BENEATH | libc::RESOLVE_IN_ROOT)
    }

    /// That directory is the root.
    pub fn have_root(self) -> bool {
        self.has(libc::RESOLVE_IN_ROOT)
    }

    /// No mount is entered or left.
    pub fn keep_mount(self) -> bool {
        self.has(libc::RESOLVE_NO_XDEV)
    }

    /// What following a symlink ends with; `is_magic`: one of /proc that leads to an object (fs/namei.c, nd_jump_link).
    pub fn refusal_of_link(self, is_magic: bool) -> Option<Errno> {
        match self {
            _ if self.has(libc::RESOLVE_NO_SYMLINKS) => Some(Errno::ELOOP),
            _ if is_magic && self.has(libc::RESOLVE_NO_MAGICLINKS) => Some(Errno::ELOOP),
            _ if is_magic && self.are_scoped() => Some(Errno::EXDEV),
            _ => None,
        }
    }

    /// The flags to open with what a walk under `resolve` found: no symlink is left in its path. `is_below`: the path is
    /// relative to a directory that is not to be left.
    pub fn after_walk(resolve: u64, is_below: bool) -> u64 {
        let kept = resolve & !(libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_XDEV);
        kept | libc::RESOLVE_NO_SYMLINKS | if is_below { libc::RESOLVE_BENEATH } else { 0 }
    }
}
