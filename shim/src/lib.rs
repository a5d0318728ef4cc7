// SPDX-License-Identifier: GPL-2.0-only
//! libstowaway.so: preloaded into an unmodified program, the library serves the program's calls under chosen paths,
//! and the program's sockets, from a Linux kernel inside the process.
//!
//! Rules of the place. This code runs inside somebody else's program, at any of the program's system calls, in any
//! thread, in signal handlers, between fork and exec. On the way of a call there is no libc name that makes a system
//! call (those names are our own hooks), no allocation, no std lock, no panic, and nothing on stdout. The constructor
//! and the boot may allocate; each runs once.
//!
//! A room is a folder here. A room imports itself and the rooms before it in this list (`tests/tests/floors.rs`).
//!
//! Floors, from the lowest: sys, fdtable, signals, instance, observe, lookup, process, exec, loader, wait, calls,
//! syscalls, start.
#![allow(missing_docs)]

mod calls;
mod exec;
mod fdtable;
mod instance;
mod loader;
mod lookup;
mod observe;
mod process;
mod signals;
mod start;
mod sys;
mod syscalls;
mod wait;
