// SPDX-License-Identifier: GPL-2.0-only
//! User interrupts (Intel UINTR): one thread interrupts another in user mode, without the host kernel.
//!
//! The calls are those of Intel's later kernels (5.18 to 6.8 with their patches, never in mainline): 471 to 479. Mainline
//! gives some of these numbers other meanings, hence [`probe()`]. The instructions are the real ones; where the process has an
//! [`Emulator`] beside it, they trap and it carries them out.
//!
//! A send is not a promise: an interrupt waits while the receiver does not run, one of the same vector is lost in another,
//! and the sender is told nothing. A receiver that sleeps in the host is not woken.
//!
//! Rules of the place: [`Uintr::send`] runs on any thread and may interrupt anything but [`Uintr::unregister`].

mod emulator;
mod probe;
mod receiver;

pub use emulator::Emulator;
pub use probe::{probe, Unavailable};
pub use receiver::{Target, Uintr};
