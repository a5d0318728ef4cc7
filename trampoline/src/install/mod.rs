// SPDX-License-Identifier: GPL-2.0-only
//! Catching calls: the SIGSYS handler, threads that are armed, sites that are rewritten, and what fork and clone need.
//!
//! Floors, from the lowest: arm, sigsys, signals, learn, fork, clone, divert.

mod arm;
mod clone;
pub mod divert;
mod fork;
mod learn;
mod signals;
mod sigsys;

pub use arm::{arm_thread, Unsupported};
pub use clone::{Child, Cloned};
pub use fork::{fork, Fork};
pub use learn::{freeze, learn_all, rewrite_sites};
pub use signals::{on_fault, uninterrupted};
pub use sigsys::{Foreign, INT80_CALLS};

use crate::entry::{self, Handler};
use crate::vectors::{self, Vectors};

/// Installs `handler` for every call that is caught, and arms the calling thread. `foreign` gets any other
/// SIGSYS. Threads made from now on have to call [`arm_thread`] (those cloned through
/// [`clone_onto`](crate::Frame::clone_onto) are armed before they run). `vectors`: what the handler keeps its hands off.
pub fn install(
    handler: Handler,
    foreign: Foreign,
    child: Child,
    vectors: Vectors,
) -> Result<(), Unsupported> {
    vectors::prepare(vectors);
    entry::set_handler(handler);
    clone::set_child(child);
    sigsys::take_signal(foreign);
    arm_thread()
}

/// Whether [`install`] was called: SIGSYS is ours.
pub fn is_installed() -> bool {
    entry::has_handler()
}
