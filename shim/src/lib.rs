// SPDX-License-Identifier: GPL-2.0-only
//! libstowaway.so: preloaded into an unmodified program, it serves the program's calls under chosen paths,
//! and its sockets, from a Linux kernel inside the process.
//!
//! Rules of the place. This code runs inside somebody else's program, at any of its system calls, in any
//! thread, in signal handlers, between fork and exec. On the way of a call: no libc name that makes a system
//! call (they are our own hooks), no allocation, no std lock, no panic, nothing on stdout. The constructor
//! and the boot may allocate; they run once.
#![allow(missing_docs)]

mod calls;
mod cancel;
#[cfg(test)]
mod coverage;
mod cwd;
mod deep;
mod dispatch;
mod doorbell;
mod errno;
mod fd;
mod hooks;
mod host;
mod hosted;
mod identity;
mod images;
mod inherit;
mod life;
mod lifeline;
mod load;
mod lock;
mod magic;
mod mask;
mod memory;
mod mounts;
mod own_dispatch;
mod path;
mod places;
mod procfs;
mod report;
mod scratch;
mod section;
mod settings;
mod shadow;
mod signal;
mod start;
mod table;
mod thread;
mod unwinder;
mod user;
mod visibility;
mod walk;
mod world;
