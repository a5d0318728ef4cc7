// SPDX-License-Identifier: GPL-2.0-only
//! Where a path leads: to the host or into a mount.
//!
//! The quick answer is lexical (`route.rs`): an absolute path at or below a mount's path goes to the kernel, relative to
//! the mount's root; a relative one goes where its directory is; everything else goes to the host. The quick answer is
//! wrong only for a path that changes between host and mount on the way (a symlink, or `..` above a mount's root). Then
//! the side that was asked says so: the kernel with EXDEV (nothing above a mount's root can be walked in anchorfs), the
//! host with ENOENT, because the mount's path does not exist there. Then `resolve.rs` walks the path name by name,
//! reading every symlink on the side where the name stands, and the call is made again.
//!
//! If a mount's path does exist on the host, ENOENT proves nothing. Host paths are walked before the call is made then,
//! but for calls that only look, where the covered directory has nothing in it (`covered_dirs.rs`).

pub mod contained;
pub mod covered_dirs;
pub mod cwd;
pub mod directory;
pub mod magic_links;
pub mod mount_lookup;
pub mod mount_points;
mod prefix;
mod refused;
pub mod resolve;
mod resolver;
pub mod route;
pub mod rules;
pub mod self_exe;
pub mod target;
