// SPDX-License-Identifier: GPL-2.0-only
//! What a process does with its kernel.
//!
//! `kernel` has calls, threads and shutdown; `keeper` is the process that outlives the program's; `task` is what a thread needs to call; `mounts` has disks and mounts; `network` has interfaces;
//! `faults` is what a signal handler may ask; `confine` is for programs with a filter; `facts` describes the kernel's interface, code and log; `private` names the
//! calls beyond x86-64's table; `layout` compares all shared structures with the kernel's.

mod confine;
mod facts;
mod faults;
mod keeper;
mod kernel;
#[cfg(test)]
mod layout;
mod mounts;
mod network;
mod private;
mod task;

pub use confine::{confine, Forbidden};
pub use facts::AbiRow;
pub use keeper::{watch_keeper_by, Duties};
pub use kernel::{Credentials, NewMember};
pub use mounts::{InnerFile, Source};
pub use network::{BackEndKind, Interface};
pub use private::{Access, AreaOp, PassHalf, Private, WatchOp, AREA_NOT_OURS, AREA_NO_HELPER};
pub use task::Task;
