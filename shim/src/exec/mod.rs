// SPDX-License-Identifier: GPL-2.0-only
//! The one exec: execve(2) and execveat(2), whatever started this process.
//!
//! 1. `resolve.rs` finds the program that the kernel would map: scripts lead to their interpreters, a program on an
//!    image is copied into a memory file. Everything that the kernel would find wrong is found here, while the old
//!    program still stands.
//! 2. `plan.rs` decides how the program is served: by LD_PRELOAD, by our own loader, or not at all, and then why.
//! 3. `environment.rs` makes the environment for that.
//! 4. The kernel is ended (it lives in the memory that goes away), and the host executes. The new program finds its
//!    settings in the environment and boots a kernel of its own.
//!
//! Rules of the place: the application's context, maybe between fork and exec. Nothing is allocated from the heap.

mod become_told;
pub mod elf;
pub mod environment;
pub mod kept;
pub mod launch;
pub mod library;
pub mod memfd;
pub mod open;
pub mod plan;
pub mod privileged;
pub mod request;
pub mod resolve;
pub mod script;

use crate::exec::request::Request;
use crate::sys::call::Call;
use crate::sys::errno::Result;
use crate::sys::fs::AT_FDCWD;

/// execve(2)
pub fn execve(c: &Call<'_>) -> Result {
    let [path, argv, envp, ..] = c.args;
    launch::exec(c, &Request { dirfd: AT_FDCWD, path, argv, envp, flags: 0 })
}

/// execveat(2)
pub fn execveat(c: &Call<'_>) -> Result {
    let [dirfd, path, argv, envp, flags, _] = c.args;
    launch::exec(c, &Request { dirfd: dirfd as i32, path, argv, envp, flags: flags as i32 })
}
