// SPDX-License-Identifier: GPL-2.0-only
//! Catches the system calls of the process it lives in, whatever issues them.
//!
//! [`install`] takes one function. From then on every `syscall` instruction of every armed thread that
//! stands outside the [`gate`] reaches that function with the caller's registers, through Syscall User
//! Dispatch (Linux 5.11, `Documentation/admin-guide/syscall-user-dispatch.rst`). The function works in
//! ordinary context, not in a signal handler: the SIGSYS handler only redirects.
//!
//! Way of one call: site -> SIGSYS -> [`sud`] edits the interrupted context -> [`frame`]'s entry saves
//! all registers -> the installed function -> registers restored -> the instruction after the site.
//!
//! Rules of the place: no libc name that makes a system call, no allocation, no panic, no TLS.

pub mod frame;
pub mod gate;
pub mod rewrite;
pub mod seen;
pub mod sud;

pub use frame::Frame;
pub use gate::gate;
pub use sud::{arm_thread, install, is_installed, After, Unsupported};
