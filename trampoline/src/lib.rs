// SPDX-License-Identifier: GPL-2.0-only
//! Catches the system calls of the process it lives in, whatever issues them.
//!
//! [`install`] takes one function. From then on every `syscall` instruction of every armed thread that
//! stands outside the [`gate`] reaches that function with the caller's registers: through Syscall User
//! Dispatch (Linux 5.11, `Documentation/admin-guide/syscall-user-dispatch.rst`), or, once its site was
//! rewritten, by a jump. The function works in ordinary context on a stack of its own, not in a signal handler:
//! the SIGSYS handler only redirects.
//!
//! Way of one call: site -> stub (or SIGSYS -> [`sud`] edits the interrupted context) -> [`entry`], which forwards to
//! the host what [`routes`] says, and for the rest saves all registers -> the installed function -> registers
//! restored -> the instruction after the site.
//!
//! Rules of the place: no libc name that makes a system call, no allocation, no panic, no TLS. The GS base is
//! ours ([`thread`]).

pub mod divert;
pub mod entry;
pub mod frame;
pub mod gate;
pub mod rewrite;
pub mod routes;
pub mod seen;
pub mod sud;
pub mod thread;
pub mod vectors;

pub use frame::Frame;
pub use gate::gate;
pub use sud::{arm_thread, install, is_installed, Unsupported};
pub use vectors::Vectors;
