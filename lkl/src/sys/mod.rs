// SPDX-License-Identifier: GPL-2.0-only
//! The host, as this library sees it: one raw call through a gate, and typed functions above it.
//!
//! # Rules of the place
//! The library lives inside programs that it does not know. There, every `syscall` instruction but the gate's may
//! trap, and libc's functions may be hooks of the program's own calls. So every host call goes through
//! [`set_gate`]'s function. Of libc only `clock_gettime` is used, which is the vDSO's. Nothing here allocates,
//! takes a lock that is not named so, panics, or uses thread-local storage.
//!
//! # Files
//! `call` has the gate; `errno` the error numbers; `own_memory` says what of the memory is ours; `file`, `memory`, `futex`, `signal`,
//! `process`, `time`, `poll` and `socket` the typed calls; `text` writes numbers; `helper_thread` makes threads without libc, and `spawn`
//! processes.

mod call;
mod errno;
pub mod file;
pub mod futex;
mod helper_stacks;
pub mod helper_thread;
#[cfg(test)]
pub(crate) mod layout;
pub mod memory;
pub mod own_memory;
pub mod poll;
pub mod process;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod text;
pub mod time;

pub use call::{call, gate, set_gate, try_call, RawSyscall};
pub use errno::{check, to_raw, Errno};
pub use file::OwnedFd;
pub use memory::PAGE;
