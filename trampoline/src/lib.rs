// SPDX-License-Identifier: GPL-2.0-only
//! Catches the system calls of the process it lives in, whatever issues them.
//!
//! [`install`](install()) takes one function. From then on every `syscall` instruction of every armed thread that
//! stands outside the [`gate`](mod@gate) reaches that function with the caller's registers: through Syscall User
//! Dispatch (Linux 5.11, `Documentation/admin-guide/syscall-user-dispatch.rst`), or, once its site was
//! rewritten, by a jump. The function works in ordinary context on a stack of its own, not in a signal handler:
//! the SIGSYS handler only redirects.
//!
//! Way of one call: site -> stub (or SIGSYS -> [`mod@install`] edits the interrupted context) -> [`entry`], which
//! forwards to the host what [`routes`] says, and for the rest saves all registers -> the installed function ->
//! registers restored -> the instruction after the site.
//!
//! Rules of the place: no libc name that makes a system call, no allocation, no panic, no TLS. The GS base is
//! ours ([`thread`]).
//!
//! Floors, from the lowest: abi, gate, host, frame, thread, alternate, vectors, routes, entry, rewrite, install.

mod abi;
pub mod alternate;
pub mod entry;
pub mod frame;
pub mod gate;
mod host;
pub mod install;
pub mod rewrite;
pub mod routes;
pub mod thread;
pub mod vectors;

pub use entry::Handler;
pub use frame::Frame;
pub use gate::gate;
pub use host::KernelSigaction;
pub use install::{
    arm_thread, divert, fork, freeze, install, is_installed, learn_all, on_fault, rewrite_sites,
    uninterrupted, Child, Cloned, Foreign, Fork, Unsupported, INT80_CALLS,
};
pub use vectors::Vectors;
