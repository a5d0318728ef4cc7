// SPDX-License-Identifier: GPL-2.0-only
//! A model check of the virtual CPU's protocol. `protocol.rs` and `slots.rs` are the library's own files, compiled over loom's
//! atomics. The kernel and the host are small stand-ins. loom runs a scene in every order of its threads' steps, up to a
//! bound of preemptions, and with every value that the memory model lets a load see. Two things must hold:
//!
//! - the kernel's state is touched by one thread at a time (it lies in loom's `UnsafeCell`, which checks);
//! - every request comes to its end, every deadline fires: a lost wake-up is a deadlock, which loom reports.
#![allow(dead_code)] // what the library uses of the protocol and the scenarios do not

#[path = "../../src/cpu/protocol.rs"]
mod protocol;
mod scenes;
#[path = "../../src/cpu/slots.rs"]
mod slots;
mod stand_in;
mod sync;

pub use scenes::{Scene, SCENES};
pub use sync::Step;

/// Checks a scene with all steps of the protocol, or without one. Panics if something does not hold.
pub fn check(scene: &Scene, without: Option<Step>) {
    sync::leave_out(without);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(scene.preemptions);
    // A thread that waits for ever, where threads look around now and then, is seen by this.
    model.max_branches = 5_000;
    model.check(scene.play);
    sync::leave_out(None);
}
