// SPDX-License-Identifier: GPL-2.0-only
//! What the rooms above stand on: calls of the host, errnos, memory of ours and of the application, locks, threads,
//! messages, settings, and which kernel the process has.

pub mod big_stack;
pub mod call;
pub mod credentials;
pub mod decimal;
pub mod errno;
pub mod forward;
pub mod fs;
pub mod hash;
pub mod host;
pub mod identity;
pub mod kernel;
pub mod mapped;
pub mod mappings;
pub mod mem;
pub mod memory;
pub mod nowhere;
pub mod numbers;
pub mod own_image;
pub mod path_cell;
pub mod proc_self;
pub mod report;
pub mod rings;
pub mod root;
pub mod scratch;
pub mod settings;
pub mod sigcalls;
pub mod sleep;
pub mod sockaddr;
pub mod thread;
pub mod told;
pub mod tracer;
pub mod unwinder;
pub mod user;
pub mod valgrind;
