// SPDX-License-Identifier: GPL-2.0-only
//! What the rooms above stand on: calls of the host, errnos, the memory of the application, locks, threads, messages,
//! settings.

pub mod big_stack;
pub mod errno;
pub mod host;
pub mod identity;
pub mod lock;
pub mod memory;
pub mod proc_self;
pub mod report;
pub mod scratch;
pub mod settings;
pub mod thread;
pub mod unwinder;
pub mod user;
